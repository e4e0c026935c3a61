"""Inference on one image: cut it into views, segment each view, merge the scores.

The canvas is the image resized as the protocol asks. A view is a window of the canvas, or the whole
image, at the size on which the method works. Each view has its own selection of categories. Scores
are merged on the union of these selections, so a category that no view kept never gets a map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .axes import take
from .io.excerpts import excerpt
from .io.option_values import check_range, check_values
from .layers.region_maps import Blocks, region_blocks, region_maps
from .layers.scale_views import MapMean, open_starts, resize_aligned, scaled_size
from .layers.splice import WindowFeatures, splice
from .ops import crop_padding, resize, resize_image_part
from .structures import (
    ImageFeatures,
    Masks,
    RegionMasks,
    RegionScores,
    Scores,
    Selection,
    TextFeatures,
)

Segment = Callable[[Tensor], tuple[ImageFeatures, Masks | RegionMasks]]
"""Function that computes the features and masks of a batch of views (V, 3, H, W)."""


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


LONGEST_RATIO = 8
"""Largest aspect ratio of a canvas that keeps the image's aspect ratio. A narrower image is
squashed to it: a strip of 2 x 9000 pixels would otherwise become a million pixels wide."""

VIEWS_PER_BATCH = 8
"""Default number of views per batch on an accelerator."""

VIEWS_ON_CPU = 2
"""Default number of views per batch on a CPU. With one view, all weights are read again for every
view; with many, the activations no longer fit into the cache."""


_NEVER = -1e4
"""Logit that stands for minus infinity, of which resizing makes NaN."""

_LARGEST_SIDE = 1 << 20
"""Side of an image in pixels that no memory holds."""


@dataclass(frozen=True)
class InferenceConfig:
    """Geometric part of a protocol: how an image is cut into views, and how views are merged.

    Args:
        mode: ``"whole"`` for one view, ``"slide"`` for overlapping windows, ``"multi_scale"`` for
            windows at several `scales` (see `ovss.layers.scale_views`).
        size: size of the canvas, as one side or (height, width); None keeps the size of the image
            (``"whole"`` only). With ``"multi_scale"`` the length of the longer side at scale 1.
        keep_ratio: True if `size` is the shorter side and the image keeps its aspect ratio, up to
            `LONGEST_RATIO`; otherwise the image is squashed to the canvas.
        longest: largest longer side of the canvas, in pixels; only with `keep_ratio`. None sets no
            limit but `LONGEST_RATIO`. An image whose longer side would exceed it is shrunk, and
            keeps its aspect ratio.
        window: side of a window, in canvas pixels.
        stride: step between windows. The last window is moved back into the canvas.
        global_view: True to average the merged windows with one more view, the whole image. This
            view is resized from the original image, not from the canvas, to the size of a window.
        activation: ``"sigmoid"``, or ``"softmax"`` over the kept categories; ``"none"`` for masks
            of regions, whose scores are sums.
        merge: values to average where windows overlap, ``"probs"``, ``"logits"`` or ``"features"``.
            Logits suit training-free methods; each category is then averaged over the windows that
            kept it. Features are averaged before they are compared with the categories, on the
            grid of cells, so that the windows' starts are rounded to whole cells.
        scales: factors on `size`; with ``"multi_scale"`` only.
        mirror: True to average with mirrored windows; with ``"multi_scale"`` only.
        views_per_batch: number of views computed at once; None means `VIEWS_PER_BATCH`, or
            `VIEWS_ON_CPU` on a CPU.
        activate_at: size at which logits become probabilities: that of the ``"canvas"``, or of the
            ``"image"``, as the codes of SCLIP and its successors do it. The latter needs memory for
            one map of each category at the size of the image; with one view, or merged logits.

    Raises:
        TypeError: an option of another type.
        ValueError: an unknown option, a number out of range, or options that contradict each other.
    """

    mode: str = "whole"
    size: int | tuple[int, int] | None = None
    keep_ratio: bool = False
    longest: int | None = None
    window: int = 384
    stride: int = 256
    global_view: bool = True
    activation: str = "sigmoid"
    merge: str = "probs"
    scales: tuple[float, ...] = ()
    mirror: bool = False
    views_per_batch: int | None = None
    activate_at: str = "canvas"

    def __post_init__(self) -> None:
        check_values(InferenceConfig, vars(self), "inference")
        if self.size is not None:
            sides = (self.size,) if isinstance(self.size, int) else self.size
            check_range("inference", 1, size=min(sides))
            check_range("inference", 1, _LARGEST_SIDE, size=max(sides))
        if self.mode not in ("whole", "slide", "multi_scale"):
            raise ValueError(
                f"inference mode must be 'whole', 'slide' or 'multi_scale', got "
                f"{excerpt(self.mode)}."
            )
        _check_scales(self)
        if self.activation not in ("sigmoid", "softmax", "none"):
            raise ValueError(
                f"activation must be 'sigmoid', 'softmax' or 'none', got "
                f"{excerpt(self.activation)}."
            )
        if self.merge not in ("probs", "logits", "features"):
            raise ValueError(
                f"merge must be 'probs', 'logits' or 'features', got {excerpt(self.merge)}."
            )
        if self.merge == "features" and (self.mode == "multi_scale" or self.mirror):
            raise ValueError(
                "merge='features' needs windows of one scale. Set mode='slide', or merge='probs'."
            )
        _check_activation(self)
        if self.merge == "logits" and self.activation == "none":
            raise ValueError(
                "merge='logits' needs an activation, but masks of regions have none. Set "
                "merge='probs'."
            )
        if self.mode == "slide" and self.merge != "probs" and self.global_view:
            raise ValueError(
                f"merge={self.merge!r} cannot be combined with a global view. "
                "Set global_view=False or merge='probs'."
            )
        if min(self.window, self.stride, self.views_at_once("cpu")) < 1:
            raise ValueError(
                "window, stride and views_per_batch must be at least 1, got "
                f"{self.window}, {self.stride} and {self.views_per_batch}."
            )
        if self.keep_ratio and not isinstance(self.size, int):
            raise ValueError(
                f"keep_ratio=True needs a single number as size, got size={self.size}."
            )
        if self.longest is not None and not (
            self.keep_ratio and isinstance(self.size, int) and self.longest >= self.size
        ):
            raise ValueError(
                f"longest is the largest longer side of a canvas with keep_ratio=True, and at "
                f"least its size, got longest={self.longest} with size={self.size} and "
                f"keep_ratio={self.keep_ratio}."
            )
        if self.mode == "slide" and (self.size is None or min(self.canvas(1, 1)) < self.window):
            raise ValueError(
                f"mode='slide' needs a canvas of at least the window of {self.window} pixels, got "
                f"size={self.size}. Increase size or reduce window."
            )
        if self.mode != "whole" and self.stride > self.window:
            raise ValueError(
                f"stride={self.stride} leaves gaps between windows of {self.window} pixels. Choose "
                f"a stride of at most the window."
            )

    @property
    def gives_whole_view(self) -> bool:
        """True if `Scores.features`, the features of the whole image, are provided."""
        slides = self.mode == "slide"
        return self.mode == "whole" or (slides and (self.global_view or self.merge == "features"))

    @property
    def merged(self) -> str:
        """Kind of values that are averaged over windows, ``"scores"`` or ``"features"``."""
        return "features" if self.mode == "slide" and self.merge == "features" else "scores"

    @property
    def is_one_view(self) -> bool:
        """True if the only view is the whole image."""
        return self.mode == "whole"

    def longest_side(self, scale: float) -> int:
        """Length of the longer side at a scale, with ``"multi_scale"``."""
        assert isinstance(self.size, int)
        return math.ceil(self.size * scale)

    def views_at_once(self, device: torch.device | str) -> int:
        """Number of views computed at once on a device."""
        if self.views_per_batch is not None:
            return self.views_per_batch
        return VIEWS_ON_CPU if torch.device(device).type == "cpu" else VIEWS_PER_BATCH

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Size (height, width) of the canvas for an image of height x width pixels.

        >>> InferenceConfig(size=336, keep_ratio=True).canvas(480, 640)
        (336, 448)
        >>> InferenceConfig(size=336, keep_ratio=True).canvas(2, 9000)
        (336, 2688)
        """
        if self.size is None:
            return height, width
        if not isinstance(self.size, int):
            return self.size[0], self.size[1]
        if not self.keep_ratio:
            return self.size, self.size
        scale, longest = self.size / min(height, width), LONGEST_RATIO * self.size
        if self.longest is not None:
            scale = min(scale, self.longest / max(height, width))
        height, width = max(round(height * scale), 1), max(round(width * scale), 1)
        return min(height, longest), min(width, longest)


def _check_activation(config: InferenceConfig) -> None:
    """
    Raises:
        ValueError: an unknown `activate_at`, or one that the merged values exclude.
    """
    if config.activate_at not in ("canvas", "image"):
        raise ValueError(
            f"activate_at must be 'canvas' or 'image', got {excerpt(config.activate_at)}."
        )
    is_merged_before = config.mode == "whole" or (
        config.mode == "slide" and config.merge != "probs"
    )
    if config.activate_at == "image" and not is_merged_before:
        raise ValueError(
            f"activate_at='image' needs one view, or windows with merge='logits' or 'features', "
            f"got mode={config.mode!r} and merge={config.merge!r}. Set activate_at='canvas'."
        )


def _check_scales(config: InferenceConfig) -> None:
    """
    Raises:
        ValueError: `scales` or `mirror` without ``"multi_scale"``, or that without scales or size.
    """
    if config.mode != "multi_scale":
        if config.scales or config.mirror:
            raise ValueError(
                f"scales and mirror need mode='multi_scale', got mode={excerpt(config.mode)}. "
                f"Leave them out or change the mode."
            )
    elif not config.scales or min(config.scales) <= 0 or not isinstance(config.size, int):
        raise ValueError(
            f"mode='multi_scale' needs scales above 0 and a single number as size, got "
            f"scales={excerpt(config.scales)} and size={config.size}."
        )


def merged_scores(
    image_3HW: Tensor,
    text: TextFeatures,
    segment: Segment,
    config: InferenceConfig,
    stages: Stages | None = None,
) -> Scores | RegionScores:
    """Segments one image and merges the scores of its views.

    Args:
        image_3HW: RGB in 0..255.
        text: features of the vocabulary, stored in the result.
        segment: function that computes the features and masks of a batch of views.
        config: geometry of the views.
        stages: stages of the method, for ``merge="features"``; None if it cannot merge features.

    Raises:
        ValueError: ``merge="features"`` with a method that cannot do it.
    """
    image_13HW = image_3HW[None].float()
    if config.mode == "whole":
        canvas = config.canvas(*image_3HW.shape[-2:])
        size = (image_3HW.shape[1], image_3HW.shape[2])
        return segment_whole(resize(image_13HW, canvas), text, segment, config, size)
    if config.mode == "multi_scale":
        return multi_scale(image_13HW, text, segment, config)
    if config.merge == "features":
        if stages is None:
            raise ValueError("This method cannot merge features. Set merge='probs'.")
        return slide_features(image_13HW, text, stages, config)
    return slide(image_13HW, text, segment, config)


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


def slide(image_13HW: Tensor, text: TextFeatures, segment: Segment, config) -> Scores:
    """Scores from windows of the canvas, averaged where they overlap; see `InferenceConfig`."""
    canvas_13HW, places = canvas_windows(image_13HW, config)
    height, width = canvas_13HW.shape[-2:]
    views_V3yx = torch.cat([canvas_13HW[..., y, x] for y, x in places])
    size = (views_V3yx.shape[2], views_V3yx.shape[3])
    batches = [views_V3yx]
    if config.global_view:
        whole_13yx = resize(image_13HW, (config.window, config.window))
        same = size == (config.window, config.window)
        batches = [torch.cat([views_V3yx, whole_13yx])] if same else [views_V3yx, whole_13yx]

    at_once = config.views_at_once(image_13HW.device)
    results = [r for views in batches for r in _segment_views(views, segment, at_once)]
    selection = union([masks.selection for _, masks in results])
    device = selection.index_BK.device
    # Localizing the labels 0..T - 1 gives a table: slot in the union for each category.
    every_11T = torch.arange(selection.num_categories, device=device)[None, None]
    slot_T = selection.localize(every_11T)[0, 0]
    shape_KHW = (selection.index_BK.shape[1], height, width)
    merged_KHW = image_13HW.new_zeros(shape_KHW, dtype=_dtype(results[0][1]))
    # Logits are averaged over the windows that kept a category. One count serves all categories
    # if every window kept the same ones, and for probabilities, where other windows count as 0.
    per_category = config.merge == "logits" and _differ(results, selection)
    count_NHW = merged_KHW.new_zeros(len(merged_KHW) if per_category else 1, height, width)
    for (view, masks), (y, x) in zip(results, places, strict=False):
        maps_KHW, slots = _window_maps(view, masks, slot_T, size, config)
        merged_KHW[slots, y, x] += maps_KHW
        count_NHW[slots if per_category else slice(1), y, x] += 1
    merged_KHW /= count_NHW.clamp(min=1)
    if config.merge == "logits":
        merged_KHW.masked_fill_(count_NHW == 0, -torch.inf)
        merged_1KHW = merged_KHW[None]
        if config.activate_at == "image":
            merged_1KHW = merged_1KHW.clamp(min=_NEVER)
            merged_1KHW = resize(merged_1KHW, (image_13HW.shape[2], image_13HW.shape[3]))
        merged_KHW = activate(merged_1KHW, selection, config.activation)[0]

    features = None
    if config.global_view:
        features, masks = results[-1]
        size = (config.window, config.window)
        probs_KHW, slots = _window_maps(features, masks, slot_T, size, config)
        merged_KHW *= 0.5
        for slot, prob_HW in zip(slots.tolist(), probs_KHW, strict=True):
            merged_KHW[slot] += 0.5 * resize(prob_HW[None, None], (height, width))[0, 0]
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
    at_once = len(views_V3yx) if together else config.views_at_once(image_13HW.device)
    parts = [stages.encode(chunk_V3yx) for chunk_V3yx in views_V3yx.split(at_once)]
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


def canvas_windows(
    image_13HW: Tensor, config: InferenceConfig
) -> tuple[Tensor, list[tuple[slice, slice]]]:
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


def multi_scale(
    image_13HW: Tensor, text: TextFeatures, segment: Segment, config: InferenceConfig
) -> Scores:
    """Scores of an image at its own size, averaged over scales and mirrored windows.

    A window is mirrored together with the black pixels that fill it up.
    """
    size = (image_13HW.shape[2], image_13HW.shape[3])
    mean = MapMean()
    for scale in config.scales:
        canvas_13YX = resize_aligned(image_13HW, scaled_size(size, config.longest_side(scale)))
        maps_KYX, weight_KYX, selection = _scale_maps(canvas_13YX, segment, config)
        if weight_KYX.shape[1:] != (1, 1):
            weight_KYX = resize_aligned(weight_KYX[None], size)[0]
        mean.add(resize_aligned(maps_KYX[None], size)[0], weight_KYX, selection)
    maps_KHW, selection = mean.result()
    if config.merge == "logits":
        maps_KHW = activate(maps_KHW[None], selection, config.activation)[0]
    return Scores(maps_KHW[None], selection, None, text, image_13HW)


def _scale_maps(
    canvas_13YX: Tensor, segment: Segment, config: InferenceConfig
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
    if config.mirror:
        views_V3YX = torch.cat([views_V3YX, views_V3YX.flip(3)])
    results = list(_segment_views(views_V3YX, segment, config.views_at_once(canvas_13YX.device)))
    selection = union([masks.selection for _, masks in results])
    every_11T = torch.arange(selection.num_categories, device=selection.index_BK.device)[None, None]
    slot_T, kept = selection.localize(every_11T)[0, 0], selection.index_BK.shape[1]
    per_category = config.merge == "logits" and _differ(results, selection)
    total_KYX = canvas_13YX.new_zeros(kept, bottom, right, dtype=_dtype(results[0][1]))
    count_KYX = total_KYX.new_zeros(kept if per_category else 1, bottom, right)
    size = (config.window, config.window)
    for index, (features, masks) in enumerate(results):
        y, x = places[index % len(places)]
        maps_KYX, slots = _window_maps(features, masks, slot_T, size, config)
        total_KYX[slots, y, x] += maps_KYX.flip(2) if index >= len(places) else maps_KYX
        count_KYX[slots if per_category else slice(1), y, x] += 1
    count_KYX = count_KYX[:, :height, :width]
    maps_KYX = total_KYX[:, :height, :width] / count_KYX.clamp(min=1)
    if not per_category:
        return maps_KYX, maps_KYX.new_ones(kept, 1, 1), selection
    return maps_KYX, (count_KYX > 0).to(maps_KYX.dtype), selection


def window_origins(length: int, window: int, stride: int) -> list[int]:
    """Start of each window along one side. The last window ends at the border.

    >>> window_origins(640, 384, 256), window_origins(700, 384, 256)
    ([0, 256], [0, 256, 316])
    """
    starts = list(range(0, max(length - window, 0) + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return starts


def activate(logits_BKHW: Tensor, selection: Selection, activation: str) -> Tensor:
    """Converts logits to probabilities; padding slots get 0."""
    if activation in ("sigmoid", "none"):
        probs_BKHW = logits_BKHW.sigmoid() if activation == "sigmoid" else logits_BKHW
        if selection.full:
            return probs_BKHW
        return probs_BKHW * selection.valid_BK[:, :, None, None]
    padding_BK11 = ~selection.valid_BK[:, :, None, None]
    return logits_BKHW.masked_fill(padding_BK11, -torch.inf).softmax(1)


def union(selections: list[Selection]) -> Selection:
    """Union of selections of one image each: the categories that any of them keeps, ascending."""
    keep_1T = selections[0].mask()
    for selection in selections[1:]:
        keep_1T = keep_1T | selection.mask()
    return Selection.from_mask(keep_1T)


def label_map(scores: Scores | RegionScores, size: tuple[int, int]) -> Tensor:
    """Label maps (B, *size): indices into T at another resolution; the lower index wins a tie."""
    return best_labels(scores, size)[0]


def best_labels(
    scores: Scores | RegionScores, size: tuple[int, int], chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Label maps and the score of each pixel's label at another resolution, each (B, *size).

    Args:
        scores: merged scores.
        size: requested (height, width).
        chunk: number of categories resized at once, so memory does not depend on the number of
            categories; None takes as many as fit into 64 MiB, but at least one.
    """
    index_BK, valid_BK = scores.selection.index_BK, scores.selection.valid_BK
    best_BHW = torch.full(
        (len(index_BK), *size), -torch.inf, dtype=_dtype(scores), device=index_BK.device
    )
    label_BHW = torch.zeros_like(best_BHW, dtype=torch.long)
    for rows, part, maps_BkHW in score_blocks(scores, size, chunk):
        if not scores.selection.full:
            maps_BkHW = maps_BkHW.masked_fill(~valid_BK[:, part, None, None], -torch.inf)
        top_BHW, slot_BHW = maps_BkHW.max(1)
        index_BHW = torch.gather(index_BK[:, part], 1, slot_BHW.flatten(1)).view_as(slot_BHW)
        better_BHW = top_BHW > best_BHW[:, rows]
        best_BHW[:, rows] = torch.where(better_BHW, top_BHW, best_BHW[:, rows])
        label_BHW[:, rows] = torch.where(better_BHW, index_BHW, label_BHW[:, rows])
    return label_BHW, best_BHW


def score_blocks(
    scores: Scores | RegionScores, size: tuple[int, int], chunk: int | None = None
) -> Blocks:
    """Yields the maps of the categories at another resolution, in blocks of bounded memory.

    Args:
        scores: merged scores.
        size: requested (height, width).
        chunk: number of categories in a block; None takes as many as fit into 64 MiB.

    Yields:
        Rows and slots of a block, and its maps (B, k, rows, W).
    """
    if isinstance(scores, RegionScores):
        yield from region_blocks(scores, size, chunk)
        return
    batch, kept = scores.probs_BKHW.shape[:2]
    chunk = chunk or max(1, 2**24 // (batch * size[0] * size[1]))
    for start in range(0, kept, chunk):
        part = slice(start, start + chunk)
        yield slice(0, size[0]), part, resize(scores.probs_BKHW[:, part], size)


def dense_scores(scores: Scores | RegionScores, size: tuple[int, int] | None = None) -> Scores:
    """Scores with one map per category; those of regions are merged.

    Args:
        scores: merged scores.
        size: (height, width) at which regions are merged; None: that of the canvas.
    """
    if isinstance(scores, Scores):
        return scores
    height, width = scores.canvas_B3YX.shape[-2:]
    maps_BKHW = region_maps(scores, size or (height, width))
    return Scores(maps_BKHW, scores.selection, scores.features, scores.text, scores.canvas_B3YX)


def _dtype(scores: Scores | RegionScores | Masks | RegionMasks) -> torch.dtype:
    if isinstance(scores, Scores):
        return scores.probs_BKHW.dtype
    return scores.logits_BKHW.dtype if isinstance(scores, Masks) else scores.share_BKQ.dtype


def _segment_views(
    views_V3HW: Tensor, segment: Segment, batch: int
) -> Iterator[tuple[ImageFeatures, Masks | RegionMasks]]:
    """Computes the views in batches and yields their results one by one."""
    for chunk_V3HW in views_V3HW.split(batch):
        features, masks = segment(chunk_V3HW)
        for i in range(len(chunk_V3HW)):
            one = slice(i, i + 1)
            yield take(features, B=one), take(masks, B=one)


def _differ(results: list[tuple[ImageFeatures, Masks | RegionMasks]], selection: Selection) -> bool:
    """True if some view kept fewer categories than all views together."""
    kept = selection.index_BK.shape[1]
    return any(int(masks.selection.valid_BK.sum()) < kept for _, masks in results)


def _window_maps(
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
