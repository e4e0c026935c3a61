"""Input tokens of an open_clip vision transformer, for images of any size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["embed_patches", "resize_positions", "tokens_as_map"]


def resize_positions(positions_ND: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resizes position embeddings to another grid: bicubic, without antialiasing.

    The embedding of the class token is unchanged.

    Args:
        positions_ND: 1 + old height * old width rows, class token first.
        old: current grid (height, width).
        new: requested grid (height, width).
    """
    if old == new:
        return positions_ND
    grid_1Dhw = positions_ND[1:].float().T.unflatten(1, old)[None]
    grid_1Dhw = F.interpolate(grid_1Dhw, size=new, mode="bicubic", align_corners=False)
    return torch.cat([positions_ND[:1], grid_1Dhw[0].flatten(1).T.to(positions_ND.dtype)])


def embed_patches(
    visual: Any, image_B3HW: Tensor, stride: int | None = None
) -> tuple[Tensor, tuple[int, int]]:
    """Computes the input tokens of the first block, (B, 1 + h * w, D), and the grid (h, w).

    Patch dropout, which some pre-training recipes use, is never applied because the dense tokens
    need a complete grid.

    Args:
        visual: image tower.
        image_B3HW: normalised pixels.
        stride: distance between neighbouring patches; None for that of the tower. With a smaller
            one, patches overlap, and each is centred on the cell that it stands for.
    """
    pixels_B3HW = image_B3HW.to(visual.conv1.weight.dtype)
    if stride is None or (stride, stride) == visual.conv1.stride:
        patches_BDhw = visual.conv1(pixels_B3HW)
    else:
        patches_BDhw = _overlapping_patches(visual.conv1, pixels_B3HW, stride)
    grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
    class_B1D = visual.class_embedding.to(patches_BDhw.dtype).expand(len(patches_BDhw), 1, -1)
    tokens_BND = torch.cat([class_B1D, patches_BDhw.flatten(2).transpose(1, 2)], dim=1)
    positions_ND = resize_positions(visual.positional_embedding, visual.grid_size, grid)
    return visual.ln_pre(tokens_BND + positions_ND.to(tokens_BND.dtype)), grid


def tokens_as_map(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens of patches, in reading order, as a map (B, D, h, w).

    Args:
        tokens_BND: tokens without the class token, N = h * w.
        grid: (h, w).
    """
    return tokens_BND.transpose(1, 2).unflatten(2, grid)


def _overlapping_patches(convolution: Any, pixels_B3HW: Tensor, stride: int) -> Tensor:
    """Patches at a smaller distance; the border is filled with zeros, the mean colour."""
    height, width = (side - stride for side in convolution.kernel_size)
    borders = (width // 2, width - width // 2, height // 2, height - height // 2)
    padded_B3HW = F.pad(pixels_B3HW, borders)
    return F.conv2d(padded_B3HW, convolution.weight, convolution.bias, stride=stride)
