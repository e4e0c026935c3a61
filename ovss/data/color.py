"""SSD's colour augmentation, in the order and with the bounds of detectron2's point_rend."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from numpy.typing import NDArray

Image = NDArray[Any]
"""(H, W, 3) RGB, uint8."""


@TRANSFORMS.register_module()
class ColorAugSSD(BaseTransform):
    """Distorts the colours of an RGB image; each step runs with probability 0.5.

    Brightness comes first. Contrast then comes before or after saturation and hue, at random.
    mmseg's PhotoMetricDistortion differs in two ways: it assumes a BGR image, which rotates hues
    in the opposite direction, and it never draws the largest hue.

    Args:
        brightness: largest change in either direction, in 0..255.
        contrast: bounds of the factor.
        saturation: bounds of the factor.
        hue: largest change in either direction, in half degrees.
    """

    def __init__(
        self,
        brightness: float = 32,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: int = 18,
    ) -> None:
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue

    def transform(self, results: dict) -> dict:
        """Distorts `results["img"]`."""
        image = results["img"]
        if _coin():
            image = _linear(image, shift=np.random.uniform(-self.brightness, self.brightness))
        if _coin():
            image = self._hue(self._saturation(self._contrast(image)))
        else:
            image = self._contrast(self._hue(self._saturation(image)))
        results["img"] = image
        return results

    def _contrast(self, image: Image) -> Image:
        return _linear(image, np.random.uniform(*self.contrast)) if _coin() else image

    def _saturation(self, image: Image) -> Image:
        if not _coin():
            return image
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _linear(hsv[..., 1], np.random.uniform(*self.saturation))
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    def _hue(self, image: Image) -> Image:
        if not _coin():
            return image
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        shift = np.random.randint(-self.hue, self.hue + 1)
        hsv[..., 0] = (hsv[..., 0].astype(int) + shift) % 180  # OpenCV's hues are half degrees
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _coin() -> bool:
    return bool(np.random.randint(2))


def _linear(image: Image, factor: float = 1.0, shift: float = 0.0) -> Image:
    """Returns factor * image + shift, clipped to 0..255 and rounded down."""
    return np.clip(image.astype(np.float32) * factor + shift, 0, 255).astype(np.uint8)
