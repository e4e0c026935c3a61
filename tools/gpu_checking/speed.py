"""Images a second and peak memory of every method, and of the official layout of some."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ovss.benchmark.arguments import random_model
from ovss.benchmark.clock import Clock
from ovss.benchmark.memory import peak_memory
from ovss.benchmark.stand_ins import (
    has_variable_count,
    keep_fixed,
    numbered_names,
    random_image,
    random_text,
)
from ovss.models.configs import load_config
from ovss.structures import ImageFeatures, Masks
from ovss.testing import with_tiny_encoder

from .plan import CheckPlan

PARITY = Path(__file__).resolve().parents[2] / "tests" / "parity"


def timed(call: Callable[[], object], plan: CheckPlan) -> dict[str, Any]:
    """Images a second, seconds of each run and peak memory in bytes of a call for one image."""
    clock = Clock(torch.device(plan.device))
    with torch.inference_mode():
        call()  # fills caches, and chooses kernels
        seconds = [clock.time(call)[0].wall for _ in range(plan.rounds)]
        try:
            peak = peak_memory(call, plan.device).above
        except OSError:  # of a CPU without Linux
            peak = None
    return {"images_per_second": 1 / statistics.median(seconds), "seconds": seconds, "peak": peak}


def method_cases(name: str, plan: CheckPlan) -> dict[str, Any]:
    """Speed and memory of a method from an image to its label map, by size of the vocabulary."""
    _, model = random_model(name, None, plan.device)
    model.eval()
    if has_variable_count(model):
        keep_fixed(model, plan.kept)
    image_3HW, results = random_image(plan.size, plan.device), {}
    for count in plan.categories:
        results[str(count)] = attempt(lambda count=count: _method(model, image_3HW, count, plan))
    return results


def _method(model: Any, image_3HW: torch.Tensor, count: int, plan: CheckPlan) -> dict[str, Any]:
    text = random_text(model, numbered_names(count))
    return timed(lambda: model.label_map(model.scores(image_3HW, text), plan.size), plan)


def official_cases(name: str, plan: CheckPlan) -> dict[str, Any]:
    """Our head and decoder against the official layout, from the same features and weights.

    Returns:
        By size of the vocabulary: the two measurements, and how often ours is as fast and how
        much of the memory it needs.
    """
    layout = _layout(name)
    model = with_tiny_encoder(load_config(name)).to(plan.device)
    state, results = layout["state"](model), {}
    views = 5 if model.inference.mode == "slide" else 1  # four windows and the whole image
    for count in plan.categories:
        results[str(count)] = attempt(
            lambda count=count: _official(model, layout["logits"], state, count, views, plan)
        )
    return results


def _official(
    model: Any, logits: Callable, state: dict, count: int, views: int, plan: CheckPlan
) -> dict[str, Any]:
    text = random_text(model, numbered_names(count))
    image = _features(model, views, plan)
    levels, embeds = list(image.levels), text.embeds_TPC

    def published() -> torch.Tensor:
        return logits(state, image.dense_BChw, levels, embeds, 1)

    def segment() -> Masks:
        return model.segment(image, text)

    ours = timed(segment, plan)
    official = attempt(lambda: {**timed(published, plan), "largest": _largest(segment, published)})
    if "error" in official:  # it may need more memory than the device has
        return {"ours": ours, "official": official}
    speed = ours["images_per_second"] / official["images_per_second"]
    memory = ours["peak"] / official["peak"] if ours["peak"] and official["peak"] else None
    return {"ours": ours, "official": official, "times_as_fast": speed, "share_of_memory": memory}


@torch.inference_mode()
def _largest(segment: Callable[[], Masks], published: Callable[[], torch.Tensor]) -> float:
    """Largest difference between the logits of the two."""
    masks = segment()
    found_BTHW = masks.selection.scatter(masks.logits_BKHW, fill=-100)
    return float((found_BTHW - published()).abs().max())


def _features(model: Any, views: int, plan: CheckPlan) -> ImageFeatures:
    """Random features of some views, of the shapes that the method's own encoder gives."""
    encoder, side = model.encoder, plan.side
    sizes = [(encoder.joint_dim, 1)]
    sizes += zip(encoder.level_dims, encoder.level_scales or (1,) * len(encoder.level_dims))
    dense, *levels = (
        F.normalize(torch.randn(views, dim, scale * side, scale * side, device=plan.device), dim=1)
        for dim, scale in sizes
    )
    return ImageFeatures(dense, dense.mean((2, 3)), tuple(levels))


def _layout(name: str) -> dict[str, Callable]:
    """Functions of the official layout of a method, from tests/parity."""
    sys.path.insert(0, str(PARITY))
    try:
        if name.startswith("sed"):
            import plain_sed

            def sed_logits(state, dense, levels, embeds, pool):
                return plain_sed.logits(state, dense, levels[::-1], embeds, pool=pool)[0]

            return {"logits": sed_logits, "state": lambda m: plain_sed.published_state(_own(m))}
        import plain_cat_seg

        return {"logits": plain_cat_seg.logits, "state": _cat_seg_state}
    finally:
        sys.path.remove(str(PARITY))


def _cat_seg_state(model: Any) -> dict[str, torch.Tensor]:
    from ovss_plugins.cat_seg.convert import aggregator_table

    own, state = _own(model), {}
    for name, ours in aggregator_table().items():
        value = own[ours]
        state[name] = value[None, None] if "padding_" in name and value.ndim == 1 else value
    return state


def _own(model: Any) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


def attempt(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Result of a call, or the error that it caused: the other cases are still worth knowing."""
    try:
        return call()
    except Exception as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {"error": f"{type(error).__name__}: {error}"}
