"""Inference at several scales, on windows and mirrored windows."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.kernels.portions import Portions
from ovss.layers.current_view import CurrentViews, ViewPlace
from ovss.layers.scale_views import MapMean, open_starts, resize_aligned, scaled_size
from ovss.structures import Scores, Selection, TextFeatures

from .config import InferenceConfig
from .windows import Segment, activate, segment_views, sum_windows

__all__ = ["multi_scale"]


def multi_scale(
    image_13HW: Tensor,
    text: TextFeatures,
    segment: Segment,
    config: InferenceConfig,
    portions: Portions | None = None,
) -> Scores:
    """Scores of an image at its own size, averaged over scales and mirrored windows.

    A window is mirrored together with the black pixels that fill it up.
    """
    size = (image_13HW.shape[2], image_13HW.shape[3])
    mean, whole = MapMean(), CurrentViews(image_13HW, ())
    for scale in config.scales:
        canvas_13YX = resize_aligned(image_13HW, scaled_size(size, config.longest_side(scale)))
        maps_KYX, weight_KYX, selection = _scale_maps(canvas_13YX, segment, config, whole, portions)
        if weight_KYX.shape[1:] != (1, 1):
            weight_KYX = resize_aligned(weight_KYX[None], size)[0]
        mean.add(resize_aligned(maps_KYX[None], size)[0], weight_KYX, selection)
    maps_KHW, selection = mean.result()
    if config.merge == "logits":
        maps_KHW = activate(maps_KHW[None], selection, config.activation)[0]
    return Scores(maps_KHW[None], selection, None, text, image_13HW)


def _scale_maps(
    canvas_13YX: Tensor,
    segment: Segment,
    config: InferenceConfig,
    whole: CurrentViews,
    portions: Portions | None,
) -> tuple[Tensor, Tensor, Selection]:
    """Mean maps (K, Y, X) of the windows of a canvas, their weights, and their categories.

    Weights are 1, and 0 where no window kept the category; then the map is 0.
    """
    height, width = canvas_13YX.shape[2:]
    rows, columns = (open_starts(side, config.window, config.stride) for side in (height, width))
    bottom, right = (starts[-1] + config.window for starts in (rows, columns))
    padded_13YX = F.pad(canvas_13YX, (0, right - width, 0, bottom - height))
    places = [
        (slice(y, y + config.window), slice(x, x + config.window)) for y in rows for x in columns
    ]
    views_V3YX = torch.cat([padded_13YX[..., y, x] for y, x in places])
    side = config.window
    view_places = [ViewPlace((height, width), y, x, side, side) for y in rows for x in columns]
    if config.mirror:
        views_V3YX = torch.cat([views_V3YX, views_V3YX.flip(3)])
        view_places += [replace(place, mirrored=True) for place in view_places]
    current = replace(whole, places=tuple(view_places))
    batches = list(segment_views(views_V3YX, segment, config, current, portions))
    mirrored, windows = len(places), places * (2 if config.mirror else 1)
    sums = sum_windows(batches, windows, (bottom, right), config, mirrored)
    maps_KYX = sums.mean_KYX()[:, :height, :width]
    if sums.count_NYX.shape[0] < maps_KYX.shape[0]:
        return maps_KYX, maps_KYX.new_ones(maps_KYX.shape[0], 1, 1), sums.selection
    count_KYX = sums.count_NYX[:, :height, :width]
    return maps_KYX, (count_KYX > 0).to(maps_KYX.dtype), sums.selection
