"""Parameters and FLOPs of a method by stage, computed from shapes alone.

The model is built on the meta device, so a ViT-L takes no memory and neither weights nor images are
needed. Matrix products, convolutions and attention are counted, fused or not. Normalisation,
activations and resizing are not counted, which is the usual convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ovss.io.option_values import check_range
from ovss.io.shapes_only import shapes_only
from ovss.kernels import fixed_kernels
from ovss.models.build import build_model
from ovss.models.parts import model_without_pretrained
from ovss.segmentor import OpenVocabSegmentor

from .stage_walk import views_of, walk_stages

CONVENTION = "FLOPs = 2 x multiply-accumulates (MACs)"


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
    count, size = views_of(model.inference, *image_size)
    flops: dict[str, int] = {}

    def measure(name: str, run: Callable[[], Any]) -> Any:
        with counted() as counter:
            result = run()
        flops[name] = counter.get_total_flops()
        return result

    selection = walk_stages(model, names, kept, image_size, measure)
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
