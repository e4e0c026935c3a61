"""Export of a model to a folder that `ovss.export.run.ExportedModel` reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ovss.api.inferencer import Inferencer, no_report
from ovss.api.request import Request, Words
from ovss.inference.config import InferenceConfig
from ovss.io.advice import advised
from ovss.io.arguments import typed_arguments
from ovss.io.files import write_text
from ovss.io.folders import ensure_replaceable, replaced_folder
from ovss.segmentor import OpenVocabSegmentor
from ovss.vocabularies import load_templates
from ovss.vocabularies.seen import SeenNames

from .description import DESCRIPTION, ExportDescription, ExportError
from .graphs import refines_maps, rules_of
from .run import REFINE_GRAPH, VIEW_GRAPH
from .text_encoder import TEXT_GRAPH, TOKENIZER
from .text_table import TEXT_TABLE, TextTable
from .tokens import save_byte_pair_tokenizer
from .tracing import write_refine_graph, write_text_graph, write_view_graph

__all__ = ["ensure_exportable", "export_model"]

_GRAPHS = (VIEW_GRAPH, REFINE_GRAPH, TEXT_GRAPH)
EXPORTED_FILES = {
    DESCRIPTION,
    *_GRAPHS,
    *(f"{name}.data" for name in _GRAPHS),
    TEXT_TABLE,
    TOKENIZER,
}
"""Names of the files that an export may consist of."""


@typed_arguments
def export_model(
    inferencer: Inferencer,
    folder: str | os.PathLike[str],
    words: Words | None = None,
    *,
    background: Words | None = None,
    image_size: tuple[int, int] | None = None,
    text_encoder: bool = True,
    overwrite: bool = False,
    report: Callable[[str], None] = no_report,
) -> ExportDescription:
    """Writes a model as ONNX graphs whose text embeddings are an input.

    The folder appears when it is complete: an interrupted export leaves nothing.

    Args:
        inferencer: model on the CPU, in float32.
        folder: folder to create.
        words: categories whose embeddings are stored with the graphs; None stores none.
        background: names that stand for everything else, stored with them.
        image_size: (height, width) of the images to segment, for a method whose views depend on
            it; None otherwise.
        text_encoder: True to export the text encoder, too, which embeds other categories later.
        overwrite: True to replace an exported folder.
        report: callback for a line about each step.

    Raises:
        ExportError: the method cannot be exported, or neither embeddings nor a text encoder would
            be written.
        FileExistsError: the folder exists.
    """
    model, folder = inferencer.model, Path(folder)
    request = None if words is None else Request.of(words, background)
    tower = model.encoder.prompt_tower() if text_encoder else None
    if request is None and tower is None:
        problem = ExportError(
            "Nothing would give text embeddings: no category is named, and the text encoder is "
            "left out or has no byte-pair tokenizer. Name categories"
        )
        raise advised(problem, "export_embeddings")
    ensure_exportable(inferencer)
    check = partial(
        ensure_replaceable, folder, "an exported model", DESCRIPTION, EXPORTED_FILES, overwrite
    )
    check()
    view = view_size(model.inference, image_size)
    rules = rules_of(model)
    with _frozen(model), replaced_folder(folder, check) as place:
        report("writing the image graph")
        regions, example = write_view_graph(model, view, place / VIEW_GRAPH)
        if refines_maps(model):
            report("writing the graph of the post-processor")
            write_refine_graph(model, view, example, place / REFINE_GRAPH)
        if tower is not None:
            report("writing the text encoder")
            write_text_graph(tower, place / TEXT_GRAPH)
            save_byte_pair_tokenizer(tower.tokenizer, place / TOKENIZER)
        if request is not None:
            report("writing the text embeddings")
            text_table(inferencer, request).save(place / TEXT_TABLE)
        assert all(isinstance(rule, SeenNames) for rule in rules)
        description = ExportDescription(
            model=inferencer.name,
            view=view,
            inference=model.inference,
            templates=tuple(load_templates(model.prompts.templates)),
            synonyms=model.prompts.synonyms,
            channels=model.encoder.joint_dim,
            note=inferencer.note,
            seen=tuple(rule for rule in rules if isinstance(rule, SeenNames)),
            regions=regions,
            refines=refines_maps(model),
            context_length=0 if tower is None else tower.context_length,
            pads_prompts=tower is not None and not tower.is_free,
        ).with_files(place)
        write_text(place / DESCRIPTION, description.text())
    return description


@contextmanager
def _frozen(model: OpenVocabSegmentor) -> Iterator[None]:
    """Context in which no parameter needs a gradient, for which a graph would keep a place."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def ensure_exportable(inferencer: Inferencer) -> None:
    """
    Raises:
        ExportError: a method whose inference the runner does not have, with what to change.
    """
    model = inferencer.model
    config = model.inference
    problem, remedy = "", ""
    if inferencer.device.type != "cpu" or inferencer.precision != "float32" or inferencer.compiled:
        problem, remedy = "a model on a CPU, in float32 and not compiled, is exported", "build one"
    elif config.mode == "multi_scale":
        problem = "inference at several scales is not exported"
        remedy = "set model.inference.mode=slide"
    elif config.merge == "features":
        problem, remedy = "features are not merged over windows", "set model.inference.merge=probs"
    elif config.activate_at == "image":
        problem = "probabilities at the size of the image are not exported"
        remedy = "set model.inference.activate_at=canvas"
    elif model.encoder.needs_whole_image or model.encoder.reads_labels:
        problem = "the regions of this encoder belong to single images"
        remedy = "choose an encoder that computes its regions"
    elif model.encoder.text_level_dims:
        problem = "this encoder gives several embeddings of a category"
        remedy = "choose an encoder with text embeddings alone"
    if problem:
        raise ExportError(f"{inferencer.name} cannot be exported: {problem}. Please {remedy}")


def view_size(config: InferenceConfig, image_size: tuple[int, int] | None) -> tuple[int, int]:
    """Size (height, width) of the views of a method.

    Raises:
        ExportError: a size that depends on the image without `image_size`.
    """
    if not config.is_one_view:
        return config.window, config.window
    if config.size is not None and not config.keep_ratio:
        return config.canvas(1, 1)
    if image_size is None:
        problem = ExportError(
            "The views of this method have the aspect ratio of the image, but a graph has one "
            "size. State the size of your images, or set model.inference.keep_ratio=False"
        )
        raise advised(problem, "export_size")
    return config.canvas(*image_size)


def text_table(inferencer: Inferencer, request: Request) -> TextTable:
    """Text embeddings of a request, computed by the model."""
    text = inferencer.encode(request.queries)
    assert text.vocabulary is not None
    embeds_TPC = text.embeds_TPC.float().numpy()
    return TextTable(request.queries, len(request.background), text.vocabulary, embeds_TPC)
