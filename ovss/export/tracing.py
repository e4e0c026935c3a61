"""Tracing of the parts of a model into ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim

from ovss.interfaces import PromptTower
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import RegionMasks, TextFeatures

from .description import RegionLayout
from .graphs import RefineGraph, ViewGraph, rules_of
from .onnx_graph import save_onnx

__all__ = ["write_refine_graph", "write_text_graph", "write_view_graph"]

EXAMPLE_NAMES = 61
"""Number of categories of the example with which a graph is traced; any other number runs too."""

CATEGORIES = Dim("T", min=2, max=1 << 24)


def _example_text(model: OpenVocabSegmentor) -> Tensor:
    """Embeddings of made-up categories, (T, P, C)."""
    templates, channels = model.prompts.count, model.encoder.joint_dim
    generator = torch.Generator().manual_seed(0)
    x_TPC = torch.randn(EXAMPLE_NAMES, templates, channels, generator=generator)
    return F.normalize(x_TPC, dim=-1)


def _marks(count: int) -> tuple[Tensor, ...]:
    alternating_T = torch.arange(EXAMPLE_NAMES) % 2 == 0
    return (alternating_T,) * count


def write_view_graph(
    model: OpenVocabSegmentor, view: tuple[int, int], path: Path
) -> tuple[RegionLayout | None, tuple[Tensor, ...]]:
    """Writes the image graph.

    Args:
        model: model in evaluation mode.
        view: (height, width) of its views.
        path: file to write.

    Returns:
        Layout of the masks if it compares regions, else None; and the outputs for an example.

    Raises:
        ExportError: see `save_onnx`.
    """
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


def write_refine_graph(
    model: OpenVocabSegmentor, view: tuple[int, int], example: tuple[Tensor, ...], path: Path
) -> None:
    """Writes the graph of the post-processor.

    Args:
        model: model in evaluation mode.
        view: (height, width) of its views.
        example: outputs of `write_view_graph`.
        path: file to write.

    Raises:
        ExportError: see `save_onnx`.
    """
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


def write_text_graph(tower: PromptTower, path: Path) -> None:
    """Writes the text encoder.

    Raises:
        ExportError: see `save_onnx`.
    """
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
        path,
        "text encoder",
    )
