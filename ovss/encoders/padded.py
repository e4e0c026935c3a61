"""Padding of images on the right and at the bottom, as detection frameworks do it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ovss.structures import Padding

__all__ = ["pad_to_multiple", "place_in_multiple"]


def place_in_multiple(image_B3HW: Tensor, divisor: int) -> Padding:
    """Place of an image in an input whose sides are multiples of `divisor`.

    Args:
        image_B3HW: RGB images.
        divisor: number of pixels.

    Raises:
        ValueError: a tensor that is not (B, 3, H, W).

    >>> import torch
    >>> place_in_multiple(torch.zeros(1, 3, 30, 64), 32)
    Padding(padded=(32, 64), image=(30, 64))
    """
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"Expected RGB images (B, 3, H, W), got {tuple(image_B3HW.shape)}.")
    height, width = image_B3HW.shape[2:]
    return Padding((height + -height % divisor, width + -width % divisor), (height, width))


def pad_to_multiple(
    image_B3HW: Tensor, mean_311: Tensor, std_311: Tensor, padding: Padding
) -> Tensor:
    """Normalised pixels of an image, with zeros where `padding` says.

    Args:
        image_B3HW: RGB in 0..255, of any number type.
        mean_311: mean of the pixels in pre-training, in 0..255.
        std_311: standard deviation of the pixels in pre-training, in 0..255.
        padding: place of the image in the padded input.
    """
    pixels_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
    pixels_B3HW = (pixels_B3HW - mean_311) / std_311
    (height, width), (whole_height, whole_width) = padding.image, padding.padded
    return F.pad(pixels_B3HW, (0, whole_width - width, 0, whole_height - height))
