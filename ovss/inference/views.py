"""Views of one image: cut, segmented and merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ovss.kernels.portions import Portions
from ovss.layers.chunks import rows_at_once
from ovss.layers.current_view import CurrentViews, ViewPlace, stated_views
from ovss.layers.precision import in_precision
from ovss.layers.splice import WindowFeatures, splice
from ovss.ops import crop_padding, resize, resize_image_part
from ovss.structures import (
    ImageFeatures,
    Masks,
    RegionMasks,
    RegionScores,
    Scores,
    TextFeatures,
)

from .config import InferenceConfig, window_origins
from .multi_scale import multi_scale
from .windows import (
    Segment,
    Views,
    Window,
    activate,
    each_view,
    segment_views,
    sum_windows,
    window_maps,
)

__all__ = ["Stages", "canvas_windows", "merged_scores", "segment_whole"]

_NEVER = -1e4
"""Logit that stands for minus infinity, of which resizing makes NaN."""


@dataclass(frozen=True)
class Stages:
    """Stages of a method, for ``merge="features"``.

    Args:
        encode: function from views (V, 3, H, W) to what a window contributes.
        join: function from what all windows contribute, and the canvas, to features of the canvas.
        segment: function from features to masks.
        windows_together: True if all windows of an image are encoded in one batch.
    """

    encode: Callable[[Tensor], WindowFeatures]
    join: Callable[[WindowFeatures, Tensor], ImageFeatures]
    segment: Callable[[ImageFeatures], Masks | RegionMasks]
    windows_together: bool = False

    def in_precision(self) -> Stages:
        """Stages that compute in the number type of `ovss.layers.precision.computing_in`."""
        return replace(
            self,
            encode=in_precision(self.encode),
            join=in_precision(self.join),
            segment=in_precision(self.segment),
        )


def merged_scores(
    image_3HW: Tensor,
    text: TextFeatures,
    segment: Segment,
    config: InferenceConfig,
    stages: Stages | None = None,
    portions: Portions | None = None,
) -> Scores | RegionScores:
    """Segments one image and merges the scores of its views.

    Args:
        image_3HW: RGB in 0..255.
        text: features of the vocabulary, stored in the result.
        segment: function that computes the features and masks of a batch of views.
        config: geometry of the views.
        stages: stages of the method, for ``merge="features"``; None if it cannot merge features.
        portions: numbers of views at once that were measured for this method; None to use those of
            the config.

    Raises:
        ValueError: ``merge="features"`` with a method that cannot do it.

    Views are computed in the number type of `ovss.layers.precision.computing_in`, and merged in
    float32.
    """
    image_13HW, segment = image_3HW[None].float(), in_precision(segment)
    if config.mode == "whole":
        canvas = config.canvas(*image_3HW.shape[-2:])
        size = (image_3HW.shape[1], image_3HW.shape[2])
        with stated_views(CurrentViews(image_13HW, (ViewPlace.whole(canvas),))):
            return segment_whole(resize(image_13HW, canvas), text, segment, config, size)
    if config.mode == "multi_scale":
        return multi_scale(image_13HW, text, segment, config, portions)
    if config.merge == "features":
        if stages is None:
            raise ValueError("This method cannot merge features. Set merge='probs'.")
        return slide_features(image_13HW, text, stages.in_precision(), config)
    return slide(image_13HW, text, segment, config, portions)


def segment_whole(
    image_13HW: Tensor,
    text: TextFeatures,
    segment: Segment,
    config: InferenceConfig,
    size: tuple[int, int] | None = None,
) -> Scores | RegionScores:
    """Scores from one view of the whole image, at the resolution of the masks.

    Those of regions stay in factored form.

    Args:
        image_13HW: canvas.
        text: features of the vocabulary.
        segment: function that computes the features and masks of a view.
        config: activation of the masks.
        size: (height, width) of the image, for ``activate_at="image"``; None: that of the canvas.
    """
    features, masks = segment(image_13HW)
    if isinstance(masks, RegionMasks):
        return RegionScores(
            masks.share_BKQ,
            masks.mask_BQhw,
            masks.selection,
            features,
            text,
            image_13HW,
            masks.padding,
            masks.merge_at_input,
            masks.ownership,
        )
    if config.activate_at == "image":
        canvas = (image_13HW.shape[2], image_13HW.shape[3])
        logits_BKHW = resize_image_part(masks.logits_BKHW, canvas, features.padding)
        logits_BKHW = resize(logits_BKHW, size or canvas)
    else:
        logits_BKHW = crop_padding(masks.logits_BKHW, features.padding)
    probs_BKHW = activate(logits_BKHW, masks.selection, config.activation)
    return Scores(probs_BKHW, masks.selection, features, text, image_13HW)


def slide(
    image_13HW: Tensor,
    text: TextFeatures,
    segment: Segment,
    config: InferenceConfig,
    portions: Portions | None = None,
) -> Scores:
    """Scores from windows of the canvas, averaged where they overlap; see `InferenceConfig`."""
    canvas_13HW, places = canvas_windows(image_13HW, config)
    height, width = canvas_13HW.shape[-2:]
    views_V3yx = torch.cat([canvas_13HW[..., y, x] for y, x in places])
    size = (views_V3yx.shape[2], views_V3yx.shape[3])
    batches, current = [views_V3yx], _current(image_13HW, canvas_13HW, places)
    if config.global_view:
        whole_13yx = resize(image_13HW, (config.window, config.window))
        same = size == (config.window, config.window)
        batches = [torch.cat([views_V3yx, whole_13yx])] if same else [views_V3yx, whole_13yx]
        whole = ViewPlace.whole((height, width))
        current = replace(current, places=(*current.places, whole))

    views: list[Views] = []
    for first, batch_V3yx in zip((0, len(places)), batches, strict=False):
        part = current.part(slice(first, first + batch_V3yx.shape[0]))
        views += segment_views(batch_V3yx, segment, config, part, portions)
    sums = sum_windows(views, places, (height, width), config)
    merged_KHW, selection = sums.mean_KYX(), sums.selection
    if config.merge == "logits":
        merged_KHW.masked_fill_(sums.count_NYX == 0, -torch.inf)
        merged_1KHW = merged_KHW[None]
        if config.activate_at == "image":
            merged_1KHW = merged_1KHW.clamp(min=_NEVER)
            merged_1KHW = resize(merged_1KHW, (image_13HW.shape[2], image_13HW.shape[3]))
        merged_KHW = activate(merged_1KHW, selection, config.activation)[0]

    features = None
    if config.global_view:
        *_, (features, masks) = each_view(views[-1:])
        size = (config.window, config.window)
        probs_KHW, slots = window_maps(features, masks, sums.slot_T, size, config)
        merged_KHW *= 0.5
        at_once = rows_at_once(1, probs_KHW, height * width)
        for part_kHW, slots_k in zip(probs_KHW.split(at_once), slots.split(at_once), strict=True):
            resized_kHW = resize(part_kHW[None], (height, width))[0]
            merged_KHW.index_add_(0, slots_k, resized_kHW, alpha=0.5)
    return Scores(merged_KHW[None], selection, features, text, canvas_13HW)


def slide_features(
    image_13HW: Tensor, text: TextFeatures, stages: Stages, config: InferenceConfig
) -> Scores:
    """Scores from features of windows, averaged where they overlap before they are compared.

    All windows together are segmented as one image, the canvas.
    """
    canvas_13HW, places = canvas_windows(image_13HW, config)
    height, width = canvas_13HW.shape[-2:]
    views_V3yx = torch.cat([canvas_13HW[..., y, x] for y, x in places])
    together = stages.windows_together
    at_once = views_V3yx.shape[0] if together else config.views_at_once(image_13HW.device)
    current, parts = _current(image_13HW, canvas_13HW, places), []
    for start, chunk_V3yx in zip(range(0, views_V3yx.shape[0], at_once), views_V3yx.split(at_once)):
        with stated_views(current.part(slice(start, start + at_once))):
            parts.append(stages.encode(chunk_V3yx))
    starts = [(y.start, x.start) for y, x in places]
    size = (views_V3yx.shape[2], views_V3yx.shape[3])
    features = stages.join(splice(parts, starts, size, (height, width)), canvas_13HW)
    masks = stages.segment(features)
    if isinstance(masks, RegionMasks):
        raise ValueError(
            "merge='features' compares cells of the canvas with categories, but this method "
            "compares regions. Set merge='probs'."
        )
    logits_BKHW = masks.logits_BKHW
    if config.activate_at == "image":
        logits_BKHW = resize(logits_BKHW, (image_13HW.shape[2], image_13HW.shape[3]))
    probs_BKHW = activate(logits_BKHW, masks.selection, config.activation)
    return Scores(probs_BKHW, masks.selection, features, text, canvas_13HW)


def canvas_windows(image_13HW: Tensor, config: InferenceConfig) -> tuple[Tensor, list[Window]]:
    """Canvas of an image, and the rows and columns of its windows, all of one size.

    A canvas that is narrower than a window has windows of its own width.
    """
    height, width = config.canvas(*image_13HW.shape[-2:])
    rows, columns = (
        [slice(start, start + min(config.window, side))
         for start in window_origins(side, config.window, config.stride)]
        for side in (height, width)
    )  # fmt: skip
    return resize(image_13HW, (height, width)), [(y, x) for y in rows for x in columns]


def _current(image_13HW: Tensor, canvas_13HW: Tensor, windows: list[Window]) -> CurrentViews:
    """Windows of a canvas as the encoder can ask for them."""
    canvas = (canvas_13HW.shape[2], canvas_13HW.shape[3])
    places = (
        ViewPlace(canvas, y.start, x.start, y.stop - y.start, x.stop - x.start) for y, x in windows
    )
    return CurrentViews(image_13HW, tuple(places))
