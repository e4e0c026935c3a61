"""Input tokens of an open_clip vision transformer, for images of any size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.io.excerpts import excerpt

__all__ = [
    "POSITION_RULES",
    "check_positions",
    "embed_patches",
    "resize_positions",
    "tokens_as_map",
    "whole_patches",
]


POSITION_RULES = {
    "bicubic": "bicubic, sampled at the centres of the new cells",
    "scale_factor": "bicubic, sampled as for a grid larger by 0.1 cell (DINO, SCLIP, NACLIP)",
    "antialias": "bicubic with antialiasing (GEM, timm)",
    "bilinear": "bilinear, sampled at the centres of the new cells (CLIP Surgery, LSeg)",
    "square": "bilinear to a square of the longer side, of which the top left is used (C-RADIO)",
}
"""Rules for resizing position embeddings to the grid of an image."""


def check_positions(where: str, rule: str) -> str:
    """Checks the name of a rule for position embeddings, and returns it.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in POSITION_RULES:
        raise ValueError(
            f"{where}.positions must be one of {', '.join(POSITION_RULES)}, got {excerpt(rule)}. "
            f"Choose one of them."
        )
    return rule


def resize_positions(
    positions_ND: Tensor,
    old: tuple[int, int],
    new: tuple[int, int],
    rule: str = "bicubic",
    prefix: int = 1,
) -> Tensor:
    """Resizes position embeddings to another grid.

    The embeddings of the first tokens, such as the class token, are unchanged.

    Args:
        positions_ND: prefix + old height * old width rows.
        old: current grid (height, width).
        new: requested grid (height, width).
        rule: key of `POSITION_RULES`.
        prefix: number of tokens before the patches.
    """
    if old == new:
        return positions_ND
    grid_1Dhw = positions_ND[prefix:].float().T.unflatten(1, old)[None]
    if rule == "scale_factor":
        # The factor itself sets where to sample; it is not derived from the sizes of the grids.
        factor = ((new[0] + 0.1) / old[0], (new[1] + 0.1) / old[1])
        grid_1Dhw = F.interpolate(grid_1Dhw, scale_factor=factor, mode="bicubic")
    elif rule == "square":
        square_1Dhw = F.interpolate(grid_1Dhw, (max(new), max(new)), mode="bilinear")
        grid_1Dhw = square_1Dhw[:, :, : new[0], : new[1]]
    else:
        mode = "bilinear" if rule == "bilinear" else "bicubic"
        grid_1Dhw = F.interpolate(grid_1Dhw, new, mode=mode, antialias=rule == "antialias")
    return torch.cat([positions_ND[:prefix], grid_1Dhw[0].flatten(1).T.to(positions_ND.dtype)])


def embed_patches(
    visual: Any, image_B3HW: Tensor, stride: int | None = None, positions: str = "bicubic"
) -> tuple[Tensor, tuple[int, int]]:
    """Computes the input tokens of the first block, (B, 1 + h * w, D), and the grid (h, w).

    Patch dropout, which some pre-training recipes use, is never applied because the dense tokens
    need a complete grid.

    Args:
        visual: image tower.
        image_B3HW: normalised pixels.
        stride: distance between neighbouring patches; None for that of the tower. With a smaller
            one, patches overlap, and each is centred on the cell that it stands for.
        positions: rule for the position embeddings of another grid, a key of `POSITION_RULES`.
    """
    pixels_B3HW = image_B3HW.to(visual.conv1.weight.dtype)
    if stride is None or (stride, stride) == visual.conv1.stride:
        patches_BDhw = visual.conv1(pixels_B3HW)
    else:
        patches_BDhw = _overlapping_patches(visual.conv1, pixels_B3HW, stride)
    grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
    class_B1D = visual.class_embedding.to(patches_BDhw.dtype).expand(patches_BDhw.shape[0], 1, -1)
    tokens_BND = torch.cat([class_B1D, patches_BDhw.flatten(2).transpose(1, 2)], dim=1)
    table_ND = visual.positional_embedding
    positions_ND = resize_positions(table_ND, visual.grid_size, grid, positions)
    return visual.ln_pre(tokens_BND + positions_ND.to(tokens_BND.dtype)), grid


def whole_patches(image_B3HW: Tensor, patch: tuple[int, int]) -> Tensor:
    """Image without the last rows and columns that fill no patch; at least one patch each way.

    Args:
        image_B3HW: images.
        patch: (height, width) of a patch in pixels.
    """
    height, width = (
        side // cell * cell or side for side, cell in zip(image_B3HW.shape[2:], patch, strict=True)
    )
    return image_B3HW[:, :, :height, :width]


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
