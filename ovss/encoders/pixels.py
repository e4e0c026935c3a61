"""Pixels as a tower wants them: normalised, at a size of whole cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["nearest_cells", "prepare_pixels", "register_pixel_statistics", "whole_cells"]

Size = tuple[int, int]


def register_pixel_statistics(encoder: nn.Module, mean_and_std: Sequence[Sequence[float]]) -> None:
    """Buffers `mean_311` and `std_311`, in 0..255, as `prepare_pixels` takes them; not saved."""
    for name, values in zip(("mean_311", "std_311"), mean_and_std, strict=True):
        encoder.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)


def prepare_pixels(
    image_B3HW: Tensor, mean_311: Tensor, std_311: Tensor, size: Size | None, cell: Size
) -> Tensor:
    """RGB in 0..255 of any size and number type, normalised, then resized bilinearly.

    Args:
        image_B3HW: the pictures.
        mean_311, std_311: of the pixels that the tower was trained with, in 0..255.
        size: wanted (height, width); None: the picture's own, rounded to whole cells.
        cell: (height, width) in pixels of a patch, or of the last stage's stride.

    Raises:
        ValueError: not (B, 3, H, W).
    """
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"expected RGB images (B, 3, H, W), got {tuple(image_B3HW.shape)}")
    pixels_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
    own = (image_B3HW.shape[2], image_B3HW.shape[3])
    size = size or nearest_cells(own, cell)
    pixels_B3HW = (pixels_B3HW - mean_311) / std_311
    if size == own:
        return pixels_B3HW
    return F.interpolate(pixels_B3HW, size=size, mode="bilinear", align_corners=False)


def whole_cells(size: int | Size | None, cell: Size) -> Size | None:
    """(height, width) of a size that must be a whole number of cells.

    Raises:
        ValueError: it is not; the nearest that is one is named.
    """
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height % cell[0] or width % cell[1]:
        near = nearest_cells((height, width), cell)
        raise ValueError(
            f"image_size {size} is no whole number of patches of {cell}; the nearest is {near}"
        )
    return height, width


def nearest_cells(size: Size, cell: Size) -> Size:
    """The nearest size of whole cells, at least one a side."""
    height, width = (
        max(1, round(side / step)) * step for side, step in zip(size, cell, strict=True)
    )
    return height, width
