"""Tensor functions shared by several methods."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(x_BChw: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes maps bilinearly, without antialiasing and without aligning corners.

    Maps that already have the requested size are returned unchanged.


    >>> resize(torch.zeros(1, 2, 3, 4), (6, 8)).shape
    torch.Size([1, 2, 6, 8])
    """
    if tuple(x_BChw.shape[-2:]) == tuple(size):
        return x_BChw
    return F.interpolate(x_BChw, size=tuple(size), mode="bilinear", align_corners=False)


def cosine_volume(dense_BChw: Tensor, text_BKPC: Tensor) -> Tensor:
    """Cosine similarity of every cell with every prompt of every kept category.

    Args:
        dense_BChw: dense tokens; they need not be normalised.
        text_BKPC: L2-normalised text embeddings.

    Returns:
        Cosines (B, K, P, h, w), not scaled by a temperature.

    >>> dense = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> cosine_volume(dense, torch.eye(2).view(1, 2, 1, 2)).flatten()
    tensor([0.6000, 0.8000])
    """
    height, width = dense_BChw.shape[-2:]
    unit_BCN = F.normalize(dense_BChw.flatten(2), dim=1)
    volume_BMN = text_BKPC.flatten(1, 2) @ unit_BCN
    return volume_BMN.view(*text_BKPC.shape[:3], height, width)


def max_cosine(dense_BChw: Tensor, text_TPC: Tensor, chunk: int = 4096) -> Tensor:
    """Highest cosine similarity of each category over all cells and prompts.

    Args:
        dense_BChw: dense tokens; they need not be normalised.
        text_TPC: L2-normalised text embeddings.
        chunk: number of prompts compared at once, which bounds the memory. The volume of all T
            categories is never held in memory.

    Returns:
        Scores (B, T).
    """
    unit_BCN = F.normalize(dense_BChw.flatten(2), dim=1)
    step = max(1, chunk // text_TPC.shape[1])
    parts = [
        (rows_TPC.flatten(0, 1) @ unit_BCN).amax(2).unflatten(1, rows_TPC.shape[:2]).amax(2)
        for rows_TPC in text_TPC.split(step)
    ]
    return torch.cat(parts, dim=1)


def region_pool(dense_BChw: Tensor, masks_BKHW: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean dense token of each region.

    Args:
        dense_BChw: dense tokens.
        masks_BKHW: non-negative weights of each region at any resolution. They are averaged down to
            the feature grid.
        eps: lower bound of a region's total weight, which avoids division by zero.

    Returns:
        Weighted means (B, K, C); zero for an empty region.

    >>> dense = torch.arange(4.0).view(1, 1, 2, 2)
    >>> region_pool(dense, torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2)).item()
    1.0
    """
    grid = (dense_BChw.shape[2], dense_BChw.shape[3])
    weight_BKhw = F.adaptive_avg_pool2d(masks_BKHW.to(dense_BChw.dtype), grid)
    weight_BKN = weight_BKhw.flatten(2)
    pooled_BKC = weight_BKN @ dense_BChw.flatten(2).transpose(1, 2)
    return pooled_BKC / weight_BKN.sum(2, keepdim=True).clamp(min=eps)
