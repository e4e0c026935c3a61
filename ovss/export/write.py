"""Export of a model to a folder that `ovss.export.run.ExportedModel` reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim

from ovss.api.inferencer import Inferencer, no_report
from ovss.api.request import Request, Words
from ovss.inference.config import InferenceConfig
from ovss.io.advice import advised
from ovss.io.arguments import typed_arguments
from ovss.io.files import delete_tree, temporary_folder, write_text
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import RegionMasks, TextFeatures
from ovss.vocabularies import load_templates
from ovss.vocabularies.seen import SeenNames

from .description import DESCRIPTION, ExportDescription, ExportError, RegionLayout
from .graphs import RefineGraph, ViewGraph, refines_maps, rules_of
from .onnx_graph import save_onnx
from .run import REFINE_GRAPH, VIEW_GRAPH
from .text_encoder import TEXT_GRAPH, TOKENIZER
from .text_table import TEXT_TABLE, TextTable
from .tokens import save_byte_pair_tokenizer

__all__ = ["ensure_exportable", "export_model"]

EXAMPLE_NAMES = 61
"""Number of categories of the example with which a graph is traced; any other number runs too."""

CATEGORIES = Dim("T", min=2, max=1 << 24)


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
    _ensure_free(folder, overwrite)
    view = view_size(model.inference, image_size)
    rules = rules_of(model)
    with _frozen(model), temporary_folder(folder.absolute().parent, folder.name) as place:
        report("writing the image graph")
        regions, example = _write_view(model, view, place / VIEW_GRAPH)
        if refines_maps(model):
            report("writing the graph of the post-processor")
            _write_refine(model, view, example, place / REFINE_GRAPH)
        if tower is not None:
            report("writing the text encoder")
            _write_text_graph(tower, place)
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
        _ensure_free(folder, overwrite)
        if folder.exists():
            delete_tree(folder)
        os.rename(place, folder)
        place.mkdir()  # for the context, which deletes it
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


def _ensure_free(folder: Path, overwrite: bool) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} exists and is not a folder. Choose another one")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / DESCRIPTION).is_file():
            raise FileExistsError(
                f"The folder {folder} exists and is not an exported model. Choose another one"
            )
        if not overwrite:
            problem = FileExistsError(f"The folder {folder} exists. Choose another one")
            raise advised(problem, "export_overwrite")


def _example_text(model: OpenVocabSegmentor) -> Tensor:
    """Embeddings of made-up categories, (T, P, C)."""
    templates, channels = model.prompts.count, model.encoder.joint_dim
    generator = torch.Generator().manual_seed(0)
    x_TPC = torch.randn(EXAMPLE_NAMES, templates, channels, generator=generator)
    return F.normalize(x_TPC, dim=-1)


def _marks(count: int) -> tuple[Tensor, ...]:
    alternating_T = torch.arange(EXAMPLE_NAMES) % 2 == 0
    return (alternating_T,) * count


def _write_view(
    model: OpenVocabSegmentor, view: tuple[int, int], path: Path
) -> tuple[RegionLayout | None, tuple[Tensor, ...]]:
    """Writes the image graph; returns the layout of regions, and outputs for an example."""
    rules = rules_of(model)
    graph = ViewGraph(model, rules).eval()
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator) * 255
    inputs = (resize(coarse, view), _example_text(model), _marks(len(rules)))
    with torch.no_grad():
        example = graph(*inputs)
        layout = _layout(model, inputs) if graph.gives_regions else None
    values = ["share_1KQ", "mask_1Qhw"] if graph.gives_regions else ["maps_1KHW"]
    features = ["dense_1Chw", "pooled_1C"] if graph.gives_features else []
    names = ["view_13HW", "text_TPC", *_mark_names(len(rules))]
    dynamic = (None, {0: CATEGORIES}, tuple({0: CATEGORIES} for _ in rules))
    save_onnx(
        graph,
        inputs,
        names,
        [*values, "index_1K", *features],
        dynamic,
        path,
        "encoder, selector, head or decoder of this method",
    )
    return layout, example


def _layout(model: OpenVocabSegmentor, inputs: Sequence) -> RegionLayout:
    text = TextFeatures(inputs[1], marked=dict(zip(rules_of(model), inputs[2], strict=True)))
    masks = model.segment(model.encoder.encode_image(inputs[0]), text)
    assert isinstance(masks, RegionMasks)
    padding = masks.padding
    return RegionLayout(
        None if padding is None else padding.padded,
        None if padding is None else padding.image,
        masks.merge_at_input,
        masks.ownership,
    )


def _write_refine(
    model: OpenVocabSegmentor, view: tuple[int, int], example: tuple[Tensor, ...], path: Path
) -> None:
    rules, config = rules_of(model), model.inference
    graph = RefineGraph(model, rules).eval()
    is_fixed = config.size is not None and not config.keep_ratio
    canvas = view if config.is_one_view else config.canvas(2 * view[0], 3 * view[1])
    merged = canvas
    if config.is_one_view and model.decoder.gives is not RegionMasks:
        merged = (example[0].shape[2], example[0].shape[3])
    index_1K = torch.arange(EXAMPLE_NAMES)[None, ::3].contiguous()
    generator = torch.Generator().manual_seed(0)
    maps_1KYX = torch.rand(1, index_1K.shape[1], *merged, generator=generator)
    canvas_13YX = torch.rand(1, 3, *canvas, generator=generator) * 255
    nothing = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1)
    dense, pooled = example[-2:] if graph.reads_features else nothing
    kept = Dim("K", min=2, max=1 << 24)
    axes = {} if is_fixed or config.is_one_view else {2: Dim("Y"), 3: Dim("X")}
    inputs = (
        maps_1KYX, index_1K, canvas_13YX, dense, pooled, _example_text(model), _marks(len(rules)),
    )  # fmt: skip
    marks = tuple({0: CATEGORIES} for _ in rules)
    dynamic = ({1: kept, **axes}, {1: kept}, axes or None, None, None, {0: CATEGORIES}, marks)
    names = ["maps_1KYX", "index_1K", "canvas_13YX", "dense_1Chw", "pooled_1C", "text_TPC"]
    names += _mark_names(len(rules))
    save_onnx(
        graph,
        inputs,
        names,
        ["refined_1KYX", "refined_index_1K"],
        dynamic,
        path,
        f"post-processor {type(model.post_processor).__name__}",
    )


def _mark_names(count: int) -> list[str]:
    return [f"mark_{index}" for index in range(count)]


def _write_text_graph(tower, place: Path) -> None:
    ids_NL = torch.zeros(3, tower.context_length, dtype=torch.long)
    marks = (tower.tokenizer.sot_token_id, tower.tokenizer.eot_token_id)
    ids_NL[:, 0], ids_NL[:, 5] = marks
    dynamic = {0: Dim("N", min=1)}
    if tower.is_free:
        ids_NL = ids_NL[:, :9]
        dynamic[1] = Dim("L", min=2, max=tower.context_length - 1)  # the full length runs, too
    save_onnx(
        tower.eval(),
        (ids_NL,),
        ["ids_NL"],
        ["embeds_NC"],
        (dynamic,),
        place / TEXT_GRAPH,
        "text encoder",
    )
    save_byte_pair_tokenizer(tower.tokenizer, place / TOKENIZER)
