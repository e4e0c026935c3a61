"""Parameters and FLOPs of a method by stage, computed from shapes alone.

The model is built on the meta device, so a ViT-L takes no memory and neither weights nor images are
needed. Matrix products, convolutions and attention are counted, fused or not. Normalisation,
activations and resizing are not counted, which is the usual convention.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ovss.inference import InferenceConfig, window_origins
from ovss.io.option_values import check_range
from ovss.io.shapes_only import shapes_only
from ovss.kernels import fixed_kernels
from ovss.layers.region_maps import region_maps
from ovss.models.build import build_model
from ovss.models.parts import model_without_pretrained
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import (
    Alignment,
    ImageFeatures,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Scores,
    Selection,
    TextFeatures,
)

CONVENTION = "FLOPs = 2 x multiply-accumulates (MACs)"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Stage:
    """FLOPs of one stage.

    Args:
        per_view: FLOPs for one view, or for the whole vocabulary in stage ``text``. 0 for
            ``post_processor``, which processes merged views.
        per_image: FLOPs for one image under the method's inference protocol. 0 for ``text``, which
            is encoded once per vocabulary and cached.
    """

    per_view: int
    per_image: int


@dataclass(frozen=True)
class Complexity:
    """Parameters and FLOPs of a method.

    Args:
        total: number of parameters.
        learnable: number of parameters that training changes.
        parts: component -> (total, learnable).
        categories: T, size of the vocabulary.
        kept: K, categories kept in one view.
        image_size: (height, width) of the image that ``per_image`` refers to.
        views: number of views of that image.
        view: (height, width) of a view at the encoder's input.
        stages: stage (encoder, text, selector, head, decoder, post_processor) -> FLOPs.
    """

    total: int
    learnable: int
    parts: dict[str, tuple[int, int]]
    categories: int
    kept: int
    image_size: tuple[int, int]
    views: int
    view: tuple[int, int]
    stages: dict[str, Stage]

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON, with the sums over all stages but text and the convention."""
        sums = {
            "per_view": sum(s.per_view for name, s in self.stages.items() if name != "text"),
            "per_image": sum(s.per_image for s in self.stages.values()),
        }
        return {**asdict(self), "all_but_text": sums, "convention": CONVENTION}


def on_meta(config: Config) -> OpenVocabSegmentor:
    """Builds a config's method on the meta device, without memory and without a weights file."""
    block = config.model.to_dict()
    with shapes_only():
        return build_model(model_without_pretrained(block)).eval()


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Counts the parameters of a module: (total, learnable)."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)


def views_of(inference: InferenceConfig, height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Number of views of an image, and the (height, width) of one view."""
    canvas = inference.canvas(height, width)
    if inference.mode == "whole":
        return 1, canvas
    rows, columns = (window_origins(s, inference.window, inference.stride) for s in canvas)
    count = len(rows) * len(columns) + inference.global_view
    return count, (inference.window, inference.window)


def complexity(
    config: Config,
    names: tuple[str, ...],
    kept: int | None = None,
    image_size: tuple[int, int] = (640, 640),
) -> Complexity:
    """Counts a config's parameters and FLOPs.

    Args:
        config: config of a method.
        names: class names of the vocabulary. Their length matters to the text tower.
        kept: number of categories that a view keeps; None for the number that the selector keeps on
            random features.
        image_size: (height, width).

    Raises:
        ValueError: `kept` is out of range, a side of the image is below 1, or `names` is empty.
    """
    height, width = image_size
    check_range("complexity", 1, height=height, width=width, number_of_names=len(names))
    if kept is not None and not 1 <= kept <= len(names):
        raise ValueError(
            f"Expected between 1 and {len(names)} kept categories, the size of the vocabulary, got "
            f"{kept}"
        )
    model = on_meta(config)
    total, learnable = count_parameters(model)
    parts = {name: count_parameters(part) for name, part in model.named_children()}
    # under the counter, views of parameters seem to need gradients even without autograd
    model.requires_grad_(False)
    count, size = views_of(model.inference, *image_size)
    view_13HW = torch.empty(1, 3, *size, device="meta")
    flops: dict[str, int] = {}

    def stage(name: str, run: Callable[[], _Result]) -> _Result:
        with counted() as counter:
            result = run()
        flops[name] = counter.get_total_flops()
        return result

    image = stage("encoder", lambda: model.encoder.encode_image(view_13HW))
    text = stage("text", lambda: model.encode_vocabulary(names))
    cpu_image, cpu_text = _random_features(image, text)
    selection = stage("selector", lambda: _on_cpu(model.selector)(cpu_image, cpu_text))
    if kept is not None:
        index_1K = torch.arange(kept)[None]
        selection = Selection(index_1K, torch.ones_like(index_1K, dtype=torch.bool), len(names))
    if model.head.gives is RegionAlignment:  # merges synonyms, which depends on values
        aligned = stage("head", lambda: _on_cpu(model.head)(cpu_image, cpu_text, selection))
    else:
        aligned = stage("head", lambda: model.head(image, text, selection))
    stage("decoder", lambda: _decoded(model, aligned))
    probs_1KHW = torch.rand(1, selection.index_BK.shape[1], *image.dense_BChw.shape[-2:])
    canvas_13YX = 255 * torch.rand(1, 3, *model.inference.canvas(*image_size))
    scores = Scores(probs_1KHW, selection, cpu_image, cpu_text, canvas_13YX)
    stage("post_processor", lambda: _on_cpu(model.post_processor)(scores))
    stages = {name: Stage(each, each * count) for name, each in flops.items()}
    stages["text"] = Stage(flops["text"], 0)
    stages["post_processor"] = Stage(0, flops["post_processor"])
    return Complexity(
        total=total,
        learnable=learnable,
        parts=parts,
        categories=len(names),
        kept=selection.index_BK.shape[1],
        image_size=image_size,
        views=count,
        view=size,
        stages=stages,
    )


def _decoded(model: OpenVocabSegmentor, aligned: Alignment | RegionAlignment) -> None:
    """Runs the decoder and, for masks of regions, merges them at the size of the input."""
    masks = model.decoder(aligned)
    if isinstance(masks, RegionMasks):
        grid = (masks.mask_BQhw.shape[2], masks.mask_BQhw.shape[3])
        shapes = {name: getattr(masks, name).to("meta") for name in ("share_BKQ", "mask_BQhw")}
        masks = replace(masks, **shapes)
        region_maps(masks, masks.padding.image if masks.padding else grid)


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Counts FLOPs inside the context, those of fused kernels included.

    torch's counter does not know three CPU kernels. For fused attention and oneDNN's linear maps
    this adds the formulas; the fast path of `nn.MultiheadAttention` is switched off. Kernels are
    fixed, so that counts are the same on every machine and measurements are not counted.
    """
    aten, onednn = torch.ops.aten, torch.ops.mkldnn
    mapping: dict[Any, Any] = {aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    if hasattr(onednn, "_linear_pointwise"):  # see `ovss.kernels.linear`
        mapping[onednn._linear_pointwise] = _linear_flops
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    try:
        with torch.no_grad(), fixed_kernels(), counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _linear_flops(rows: Sequence[int], weight: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """FLOPs of a linear map, from the shapes (..., i) and (o, i)."""
    return 2 * math.prod(rows) * weight[0]


def _random_features(
    image: ImageFeatures, text: TextFeatures
) -> tuple[ImageFeatures, TextFeatures]:
    """Random CPU features of the same shapes, because what a selector keeps depends on values."""
    generator = torch.Generator().manual_seed(0)

    def random_like(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, device="cpu")

    def weights(x: Tensor | None) -> Tensor | None:
        return None if x is None else random_like(x).softmax(-1)

    features = ImageFeatures(
        random_like(image.dense_BChw),
        random_like(image.pooled_BC),
        tuple(random_like(level) for level in image.levels),
        weights(image.attention_BNN),
        weights(image.class_attention_BMhw),
        _random_proposals(image.proposals, random_like),
        image.padding,
    )
    embeds_TPC = nn.functional.normalize(random_like(text.embeds_TPC), dim=-1)
    levels = tuple(random_like(level) for level in text.levels)
    return features, TextFeatures(embeds_TPC, levels, text.vocabulary)


def _random_proposals(
    proposals: Proposals | None, random_like: Callable[[Tensor], Tensor]
) -> Proposals | None:
    """Proposals on the CPU with empty masks, all of which take part."""
    if proposals is None:
        return None
    objectness_BQ = proposals.objectness_BQ
    return Proposals(
        torch.zeros(proposals.mask_BQhw.shape),
        random_like(proposals.embed_BQSC),
        torch.ones(proposals.valid_BQ.shape, dtype=torch.bool),
        objectness_BQ=None if objectness_BQ is None else torch.ones(objectness_BQ.shape),
        padding=proposals.padding,
    )


def _on_cpu(part: nn.Module) -> nn.Module:
    """Copies a component to the CPU, with random parameters."""
    part = copy.deepcopy(part).to_empty(device="cpu")
    for parameter in part.parameters():
        nn.init.normal_(parameter, std=0.02)
    return part


def complexity_table(cost: Complexity) -> str:
    """Formats the counts for a terminal."""
    height, width = cost.image_size
    lines = [
        f"parameters  {cost.total:,} in total, {cost.learnable:,} learnable",
        *(
            f"  {name:<16}{total:>14,}{learnable:>14,}"
            for name, (total, learnable) in cost.parts.items()
            if total
        ),
        f"image       {height} x {width}: {cost.views} views of {cost.view[0]} x {cost.view[1]}",
        f"categories  {cost.categories}; a view keeps {cost.kept}",
        f"{'stage':<12}{'GFLOPs/view':>14}{'GFLOPs/image':>14}{'GMACs/image':>14}",
    ]
    for name, stage in cost.stages.items():
        if name == "text":
            continue
        lines.append(_row(name, stage.per_view, stage.per_image))
    sums = cost.as_dict()["all_but_text"]
    lines.append(_row("sum", sums["per_view"], sums["per_image"]))
    text = cost.stages["text"].per_view / 1e9
    lines.append(f"text        {text:,.1f} GFLOPs, once per vocabulary")
    return "\n".join([*lines, f"Convention: {CONVENTION}."])


def _row(name: str, per_view: int, per_image: int) -> str:
    return f"{name:<12}{per_view / 1e9:>14,.1f}{per_image / 1e9:>14,.1f}{per_image / 2e9:>14,.1f}"
