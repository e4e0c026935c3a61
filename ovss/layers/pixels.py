"""Pixel preparation for image towers: normalising, and fitting images into whole cells.

Images are fitted by resizing, or by padding at the bottom and on the right, as detection frameworks
do it. Padding is 0 after normalising.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.structures import Padding

__all__ = [
    "nearest_cells",
    "normalize_pixels",
    "pad_to_multiple",
    "place_in_multiple",
    "prepare_pixels",
    "register_pixel_statistics",
    "whole_cells",
]

Size = tuple[int, int]


def register_pixel_statistics(
    module: nn.Module, mean_and_std: Sequence[Sequence[float]], prefix: str = ""
) -> None:
    """Registers the buffers `mean_311` and `std_311` in 0..255. They are not saved with weights.

    Args:
        module: module that gets the buffers.
        mean_and_std: mean and standard deviation of each channel.
        prefix: beginning of the names of the buffers, for a module with several towers.
    """
    for name, values in zip(("mean_311", "std_311"), mean_and_std, strict=True):
        tensor_311 = torch.tensor(values).view(3, 1, 1)
        module.register_buffer(f"{prefix}{name}", tensor_311, persistent=False)


def normalize_pixels(image_B3HW: Tensor, mean_311: Tensor, std_311: Tensor) -> Tensor:
    """Pixels minus their mean, divided by their standard deviation.

    Args:
        image_B3HW: RGB in 0..255, of any number type.
        mean_311: mean of the pixels in pre-training, in 0..255.
        std_311: standard deviation of the pixels in pre-training, in 0..255.
    """
    pixels_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
    return (pixels_B3HW - mean_311) / std_311


def prepare_pixels(
    image_B3HW: Tensor, mean_311: Tensor, std_311: Tensor, size: Size | None, cell: Size
) -> Tensor:
    """Normalises images and resizes them bilinearly.

    Args:
        image_B3HW: RGB in 0..255, of any size and number type.
        mean_311: mean of the pixels in pre-training, in 0..255.
        std_311: standard deviation of the pixels in pre-training, in 0..255.
        size: requested (height, width); None keeps the size of the images, rounded to whole cells.
        cell: (height, width) in pixels of a patch, or of one cell of the last stage.

    Raises:
        ValueError: a tensor that is not (B, 3, H, W).
    """
    own = _image_size(image_B3HW)
    size = size or nearest_cells(own, cell)
    pixels_B3HW = normalize_pixels(image_B3HW, mean_311, std_311)
    if size == own:
        return pixels_B3HW
    return F.interpolate(pixels_B3HW, size=size, mode="bilinear", align_corners=False)


def place_in_multiple(image_B3HW: Tensor, divisor: int) -> Padding:
    """Place of an image in an input whose sides are multiples of `divisor`.

    Args:
        image_B3HW: RGB images.
        divisor: number of pixels.

    Raises:
        ValueError: a tensor that is not (B, 3, H, W).

    >>> place_in_multiple(torch.zeros(1, 3, 30, 64), 32)
    Padding(padded=(32, 64), image=(30, 64), start=(0, 0))
    """
    height, width = _image_size(image_B3HW)
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
    pixels_B3HW = normalize_pixels(image_B3HW, mean_311, std_311)
    (height, width), (padded_height, padded_width) = padding.image, padding.padded
    return F.pad(pixels_B3HW, (0, padded_width - width, 0, padded_height - height))


def whole_cells(size: int | Size | None, cell: Size) -> Size | None:
    """Checks that a size is a whole number of cells, and returns it as (height, width).

    Raises:
        ValueError: a size that is not. The message names the nearest valid size.
    """
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height % cell[0] or width % cell[1]:
        near = nearest_cells((height, width), cell)
        raise ValueError(
            f"image_size={size} is not a multiple of the cell size {cell}. The nearest valid size "
            f"is {near}."
        )
    return height, width


def nearest_cells(size: Size, cell: Size) -> Size:
    """Nearest size of whole cells, with at least one cell per side."""
    height, width = (
        max(1, round(side / step)) * step for side, step in zip(size, cell, strict=True)
    )
    return height, width


def _image_size(image_B3HW: Tensor) -> Size:
    """(height, width) of RGB images."""
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"Expected RGB images (B, 3, H, W), got {tuple(image_B3HW.shape)}.")
    return image_B3HW.shape[2], image_B3HW.shape[3]
