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


def embed_patches(visual: Any, image_B3HW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Computes the input tokens of the first block, (B, 1 + h * w, D), and the grid (h, w).

    Patch dropout, which some pre-training recipes use, is never applied because the dense tokens
    need a complete grid.
    """
    patches_BDhw = visual.conv1(image_B3HW.to(visual.conv1.weight.dtype))
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
