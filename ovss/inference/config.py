"""Geometry of inference: how an image is cut into views, and how views are merged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range, check_values

__all__ = ["InferenceConfig", "window_origins"]

LONGEST_RATIO = 8
"""Largest aspect ratio of a canvas that keeps the image's aspect ratio. A narrower image is
squashed to it: a strip of 2 x 9000 pixels would otherwise become a million pixels wide."""

VIEWS_PER_BATCH = 8
"""Default number of views per batch on an accelerator."""

VIEWS_ON_CPU = 2
"""Default number of views per batch on a CPU. With one view, all weights are read again for every
view; with many, the activations no longer fit into the cache."""

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

    def views_at_once(self, device: object) -> int:
        """Number of views computed at once on a device."""
        if self.views_per_batch is not None:
            return self.views_per_batch
        return VIEWS_ON_CPU if str(device).startswith("cpu") else VIEWS_PER_BATCH

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


def window_origins(length: int, window: int, stride: int) -> list[int]:
    """Start of each window along one side. The last window ends at the border.

    >>> window_origins(640, 384, 256), window_origins(700, 384, 256)
    ([0, 256], [0, 256, 316])
    """
    starts = list(range(0, max(length - window, 0) + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return starts


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
