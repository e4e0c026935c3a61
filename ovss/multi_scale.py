"""Inference at several scales and on mirrored windows, whose scores are averaged.

The geometry is that of the evaluator of LSeg (ICLR 2022), taken from PyTorch-Encoding. At each
scale the longer side of the image has `size` times the scale in pixels. Windows start at multiples
of the stride. The last ones are not moved back: they reach over the border, where black pixels are
added. A window is mirrored with these pixels. All resizing aligns corners.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .inference import Segment, activate, segment_views, union, views_differ, window_maps
from .selection import Selection
from .structures import Scores, TextFeatures

if TYPE_CHECKING:
    from .inference import InferenceConfig

__all__ = ["multi_scale", "scaled_size"]


def multi_scale(
    image_13HW: Tensor, text: TextFeatures, segment: Segment, config: InferenceConfig
) -> Scores:
    """Scores of an image at its own size, averaged over scales and mirrored windows.

    Args:
        image_13HW: RGB in 0..255.
        text: features of the vocabulary, stored in the result.
        segment: function that computes the features and masks of a batch of views.
        config: geometry of the views.
    """
    size = (image_13HW.shape[2], image_13HW.shape[3])
    mean = _Mean()
    for scale in config.scales:
        canvas_13YX = _resized(image_13HW, scaled_size(size, config.longest_side(scale)))
        maps_KYX, weight_KYX, selection = _run(canvas_13YX, segment, config)
        if weight_KYX.shape[1:] != (1, 1):
            weight_KYX = _resized(weight_KYX[None], size)[0]
        mean.add(_resized(maps_KYX[None], size)[0], weight_KYX, selection)
    maps_KHW, selection = mean.result()
    if config.merge == "logits":
        maps_KHW = activate(maps_KHW[None], selection, config.activation)[0]
    return Scores(maps_KHW[None], selection, None, text, image_13HW)


def scaled_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Size (height, width) with a longer side of `longest` pixels, at least one pixel each.

    >>> scaled_size((75, 110), 52)
    (35, 52)
    """
    height, width = size
    if height > width:
        return longest, max(int(width * longest / height + 0.5), 1)
    return max(int(height * longest / width + 0.5), 1), longest


class _Mean:
    """Weighted mean of the maps of several runs, which may keep different categories."""

    def __init__(self) -> None:
        self.total_KHW = self.weight_KHW = torch.empty(0)
        self.selection: Selection | None = None

    def add(self, maps_KHW: Tensor, weight_KHW: Tensor, selection: Selection) -> None:
        """Adds maps that are multiplied by their weights already."""
        if self.selection is None:
            self.total_KHW, self.weight_KHW, self.selection = maps_KHW, weight_KHW, selection
            return
        joint = union([self.selection, selection])
        self.total_KHW = _spread(self.total_KHW, self.selection, joint)
        self.total_KHW = self.total_KHW + _spread(maps_KHW, selection, joint)
        self.weight_KHW = _spread(self.weight_KHW, self.selection, joint)
        self.weight_KHW = self.weight_KHW + _spread(weight_KHW, selection, joint)
        self.selection = joint

    def result(self) -> tuple[Tensor, Selection]:
        """Mean maps, minus infinity without weight, and their categories."""
        assert self.selection is not None
        mean_KHW = self.total_KHW / self.weight_KHW.clamp(min=1e-6)
        return mean_KHW.masked_fill(self.weight_KHW <= 0, -torch.inf), self.selection


def _spread(x_K: Tensor, old: Selection, new: Selection) -> Tensor:
    """Rows of one image's categories in the order of a larger selection; 0 for the others."""
    if old.index_BK.shape == new.index_BK.shape:
        return x_K
    out_K = x_K.new_zeros(new.index_BK.shape[1], *x_K.shape[1:])
    out_K[new.localize(old.index_BK[:, None])[0, 0]] = x_K
    return out_K


def _run(
    canvas_13YX: Tensor, segment: Segment, config: InferenceConfig
) -> tuple[Tensor, Tensor, Selection]:
    """Mean maps (K, Y, X) of the windows of a canvas, their weights, and their categories.

    Weights are 1, and 0 where no window kept the category; then the map is 0.
    """
    height, width = canvas_13YX.shape[2:]
    rows, columns = (_starts(side, config.window, config.stride) for side in (height, width))
    bottom, right = (starts[-1] + config.window for starts in (rows, columns))
    padded_13YX = F.pad(canvas_13YX, (0, right - width, 0, bottom - height))
    places = [
        (slice(y, y + config.window), slice(x, x + config.window)) for y in rows for x in columns
    ]
    views_V3YX = torch.cat([padded_13YX[..., y, x] for y, x in places])
    if config.mirror:
        views_V3YX = torch.cat([views_V3YX, views_V3YX.flip(3)])
    results = list(segment_views(views_V3YX, segment, config.views_at_once(canvas_13YX.device)))
    selection = union([masks.selection for _, masks in results])
    every_11T = torch.arange(selection.num_categories, device=selection.index_BK.device)[None, None]
    slot_T = selection.localize(every_11T)[0, 0]
    kept = selection.index_BK.shape[1]
    per_category = config.merge == "logits" and views_differ(results, selection)
    size = (config.window, config.window)
    total_KYX = count_KYX = torch.empty(0)
    for index, (features, masks) in enumerate(results):
        y, x = places[index % len(places)]
        maps_KYX, slots = window_maps(features, masks, slot_T, size, config)
        if index >= len(places):
            maps_KYX = maps_KYX.flip(2)
        if not total_KYX.numel():
            total_KYX = maps_KYX.new_zeros(kept, bottom, right)
            count_KYX = maps_KYX.new_zeros(kept if per_category else 1, bottom, right)
        total_KYX[slots, y, x] += maps_KYX
        count_KYX[slots if per_category else slice(1), y, x] += 1
    inside = (slice(None), slice(height), slice(width))
    maps_KYX = total_KYX[inside] / count_KYX[inside].clamp(min=1)
    if not per_category:
        return maps_KYX, maps_KYX.new_ones(kept, 1, 1), selection
    return maps_KYX, (count_KYX[inside] > 0).to(maps_KYX.dtype), selection


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Start of each window along a side; the last one may reach over the border."""
    return [stride * i for i in range(math.ceil(max(side - window, 0) / stride) + 1)]


def _resized(x_BDhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps at another size, bilinear with aligned corners."""
    if tuple(x_BDhw.shape[2:]) == size:
        return x_BDhw
    return F.interpolate(x_BDhw, size=size, mode="bilinear", align_corners=True)
