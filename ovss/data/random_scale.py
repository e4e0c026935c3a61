"""Images at a random scale, relative to their own size or to a length of their sides."""

from __future__ import annotations

from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range

from .transforms import resize_labels

__all__ = ["RandomScale"]


@TRANSFORMS.register_module()
class RandomScale(BaseTransform):
    """Resizes an image, with its aspect ratio, by a random factor.

    With `short` and `longest` the image first fits these sides, as ``Resize(scale=(longest,
    short), keep_ratio=True)`` of mmseg does; the factor applies to both limits. Images are resized
    bilinearly, labels by the nearest pixel centre.

    Args:
        ratio: smallest and largest factor, between which one is drawn uniformly.
        short: largest length of the short side at factor 1, in pixels; None: the image's own.
        longest: largest length of the long side at factor 1, in pixels; with `short` only.
        antialias: True if shrinking averages over all pixels; False as in mmcv.

    Raises:
        ValueError: factors that are not ascending and above 0, a length below 1, or only one of
            `short` and `longest`.
    """

    def __init__(
        self,
        ratio: Sequence[float] = (0.5, 2.0),
        short: int | None = None,
        longest: int | None = None,
        antialias: bool = False,
    ) -> None:
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                f"RandomScale expects ratio as two ascending factors above 0, got {excerpt(ratio)}."
            )
        if (short is None) != (longest is None):
            raise ValueError(
                f"RandomScale expects short and longest together, got short={short} and "
                f"longest={longest}. Set both or neither."
            )
        if short is not None:
            check_range("RandomScale", 1, short=short, longest=longest)
        self.ratio, self.short, self.longest = (ratio[0], ratio[1]), short, longest
        self.antialias = antialias

    def transform(self, results: dict) -> dict:
        """Resizes `results["img"]` and the label maps."""
        height, width = results["img"].shape[:2]
        scale = np.random.uniform(*self.ratio)
        if self.short is not None and self.longest is not None:
            scale *= min(self.short / min(height, width), self.longest / max(height, width))
        shape = (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1))
        if self.antialias:
            image = Image.fromarray(results["img"])
            results["img"] = np.array(image.resize(shape[::-1], Image.Resampling.BILINEAR))
        else:
            results["img"] = mmcv.imresize(results["img"], shape[::-1])
        results["img_shape"] = shape
        for key in results["seg_fields"]:
            results[key] = resize_labels(results[key], shape)
        return results
