"""Windows of a canvas: where they lie, and the sums of their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.axes import take
from ovss.kernels.portions import Portions, equal_slices
from ovss.layers.current_view import CurrentViews, stated_views
from ovss.layers.region_maps import region_maps
from ovss.ops import resize_image_part
from ovss.structures import ImageFeatures, Masks, RegionMasks, Selection

from .config import InferenceConfig

__all__ = [
    "Segment",
    "Window",
    "WindowSums",
    "activate",
    "each_view",
    "segment_views",
    "sum_windows",
    "window_maps",
]

Segment = Callable[[Tensor], tuple[ImageFeatures, Masks | RegionMasks]]
"""Function that computes the features and masks of a batch of views (V, 3, H, W)."""

Views = tuple[ImageFeatures, Masks | RegionMasks]
"""Features and masks of a batch of views."""

Window = tuple[slice, slice]
"""Rows and columns of a window on its canvas."""


@dataclass(frozen=True)
class WindowSums:
    """Sums of the maps of windows.

    Args:
        total_KYX: sum of the maps of each category.
        count_NYX: number of windows behind each sum. One count serves all categories (N = 1) if
            every window kept the same ones, and for probabilities, where other windows count as 0.
        selection: categories that any window kept.
        slot_T: slot of each category in `selection`.
    """

    total_KYX: Tensor
    count_NYX: Tensor
    selection: Selection
    slot_T: Tensor

    def mean_KYX(self) -> Tensor:
        """Mean maps, in the memory of the sums; 0 where no window kept the category."""
        return self.total_KYX.div_(self.count_NYX.clamp(min=1))


def sum_windows(
    batches: Sequence[Views],
    windows: Sequence[Window],
    canvas: tuple[int, int],
    config: InferenceConfig,
    mirrored: int | None = None,
) -> WindowSums:
    """Adds up the maps of windows.

    Args:
        batches: features and masks of the views, in batches. Views beyond the windows count for
            the categories and are not added.
        windows: place of each view.
        canvas: (height, width) of the canvas.
        config: geometry of the views.
        mirrored: number of the first mirrored view; None for none.
    """
    selection = Selection.union([masks.selection for _, masks in batches])
    # Localizing the labels 0..T - 1 gives a table: slot in the union for each category.
    every_11T = torch.arange(selection.num_categories, device=selection.index_BK.device)[None, None]
    slot_T, kept = selection.localize(every_11T)[0, 0], selection.index_BK.shape[1]
    per_category = config.merge == "logits" and _differ(batches, selection)
    first = batches[0][1]
    scores = first.logits_BKHW if isinstance(first, Masks) else first.share_BKQ
    total_KYX = scores.new_zeros(kept, *canvas)
    count_NYX = total_KYX.new_zeros(kept if per_category else 1, *canvas)
    size = (windows[0][0].stop - windows[0][0].start, windows[0][1].stop - windows[0][1].start)
    for index, ((features, masks), (y, x)) in enumerate(
        zip(each_view(batches), windows, strict=False)
    ):
        maps_KYX, slots = window_maps(features, masks, slot_T, size, config)
        is_mirrored = mirrored is not None and index >= mirrored
        total_KYX[slots, y, x] += maps_KYX.flip(2) if is_mirrored else maps_KYX
        count_NYX[slots if per_category else slice(1), y, x] += 1
    return WindowSums(total_KYX, count_NYX, selection, slot_T)


def activate(logits_BKHW: Tensor, selection: Selection, activation: str) -> Tensor:
    """Converts logits to probabilities; padding slots get 0."""
    if activation in ("sigmoid", "none"):
        probs_BKHW = logits_BKHW.sigmoid() if activation == "sigmoid" else logits_BKHW
        if selection.full:
            return probs_BKHW
        return probs_BKHW * selection.valid_BK[:, :, None, None]
    padding_BK11 = ~selection.valid_BK[:, :, None, None]
    return logits_BKHW.masked_fill(padding_BK11, -torch.inf).softmax(1)


def segment_views(
    views_V3HW: Tensor,
    segment: Segment,
    config: InferenceConfig,
    current: CurrentViews,
    portions: Portions | None = None,
) -> Iterator[Views]:
    """Computes the views in batches.

    Args:
        views_V3HW: views of one size.
        segment: function that computes the features and masks of a batch of views.
        config: number of views at once; see `portions`.
        current: places of the views.
        portions: sizes of batches that were measured on this CPU, where the config names none.
    """
    total, at_once = views_V3HW.shape[0], config.views_at_once(views_V3HW.device)
    batches = equal_slices(0, total, at_once)
    is_free = config.views_per_batch is None and views_V3HW.device.type == "cpu"
    if portions is not None and is_free:
        batches = portions(total, at_once, tuple(views_V3HW.shape[2:]))
    for part in batches:
        with stated_views(current.part(part)):
            yield segment(views_V3HW[part])


def each_view(batches: Sequence[Views]) -> Iterator[Views]:
    """Features and masks of the views one by one, as batches of one view."""
    for features, masks in batches:
        for i in range(masks.selection.batch):
            one = slice(i, i + 1)
            yield take(features, B=one), take(masks, B=one)


def window_maps(
    features: ImageFeatures,
    masks: Masks | RegionMasks,
    slot_T: Tensor,
    size: tuple[int, int],
    config: InferenceConfig,
) -> tuple[Tensor, Tensor]:
    """Maps of one view at `size`, ready to merge, and their slots in the union."""
    if isinstance(masks, RegionMasks):
        maps_BKHW = region_maps(masks, size)
    else:
        maps_BKHW = resize_image_part(masks.logits_BKHW, size, features.padding)
    if config.merge == "probs":
        maps_BKHW = activate(maps_BKHW, masks.selection, config.activation)
    return masks.selection.pack(maps_BKHW), slot_T[masks.selection.category_N]


def _differ(batches: Sequence[Views], selection: Selection) -> bool:
    """True if some view kept fewer categories than all views together."""
    kept = selection.index_BK.shape[1]
    return any(min(masks.selection.counts) < kept for _, masks in batches)
