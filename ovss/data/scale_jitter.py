"""Large-scale jitter: images at a random scale before a fixed crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range

from .transforms import resize_labels

__all__ = ["ScaleJitter"]


@TRANSFORMS.register_module()
class ScaleJitter(BaseTransform):
    """Resizes an image, with its aspect ratio, so that it just fits into a square of random size.

    The side of the square is `size` times a factor that is drawn uniformly from `ratio`. With a
    crop and padding to `size` this is large-scale jitter (Ghiasi et al., CVPR 2021). Images are
    resized bilinearly with anti-aliasing, labels by the nearest pixel centre.

    Args:
        size: side of the square at factor 1, in pixels.
        ratio: smallest and largest factor.

    Raises:
        ValueError: a size below 1, or factors that are not ascending and above 0.
    """

    def __init__(self, size: int, ratio: Sequence[float] = (0.1, 2.0)) -> None:
        check_range("ScaleJitter", 1, size=size)
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                f"ScaleJitter expects ratio as two ascending factors above 0, got {excerpt(ratio)}."
            )
        self.size, self.ratio = size, (ratio[0], ratio[1])

    def transform(self, results: dict) -> dict:
        """Resizes `results["img"]` and the label maps."""
        height, width = results["img"].shape[:2]
        scale = np.random.uniform(*self.ratio) * self.size / max(height, width)
        shape = (max(round(height * scale), 1), max(round(width * scale), 1))
        image = Image.fromarray(results["img"])
        results["img"] = np.array(image.resize(shape[::-1], Image.Resampling.BILINEAR))
        results["img_shape"] = shape
        for key in results["seg_fields"]:
            results[key] = resize_labels(results[key], shape)
        return results
