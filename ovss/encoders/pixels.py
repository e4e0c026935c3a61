"""Pixel preparation for image towers: normalising, and resizing to whole cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["nearest_cells", "prepare_pixels", "register_pixel_statistics", "whole_cells"]

Size = tuple[int, int]


def register_pixel_statistics(encoder: nn.Module, mean_and_std: Sequence[Sequence[float]]) -> None:
    """Registers the buffers `mean_311` and `std_311` in 0..255. They are not saved with weights."""
    for name, values in zip(("mean_311", "std_311"), mean_and_std, strict=True):
        encoder.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)


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
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"Expected RGB images (B, 3, H, W), got {tuple(image_B3HW.shape)}.")
    pixels_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
    own = (image_B3HW.shape[2], image_B3HW.shape[3])
    size = size or nearest_cells(own, cell)
    pixels_B3HW = (pixels_B3HW - mean_311) / std_311
    if size == own:
        return pixels_B3HW
    return F.interpolate(pixels_B3HW, size=size, mode="bilinear", align_corners=False)


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
