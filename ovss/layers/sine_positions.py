"""Fixed position embeddings of maps, by sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["sine_positions"]

TEMPERATURE = 10000.0


def sine_positions(map_BChw: Tensor, dim: int) -> Tensor:
    """Position embeddings (dim, h, w) of the cells of a map.

    The first half of the channels describes the row, the second half the column. Coordinates run
    from 0, exclusive, to 2 pi (DETR, ECCV 2020; normalised, temperature 10,000).

    Args:
        map_BChw: map whose size, device and precision count; at least single precision is used.
        dim: number of channels, a multiple of 4.

    Raises:
        ValueError: a number of channels that is not a multiple of 4.

    >>> sine_positions(torch.zeros(1, 3, 2, 5), 8).shape
    torch.Size([8, 2, 5])
    """
    if dim % 4:
        raise ValueError(f"sine_positions expects a multiple of 4 channels, got {dim}.")
    dtype = torch.promote_types(map_BChw.dtype, torch.float32)
    height, width = map_BChw.shape[-2:]
    row_Ah, column_Aw = (_axis(side, dim // 2, dtype, map_BChw.device) for side in (height, width))
    rows_Ahw = row_Ah[:, :, None].expand(-1, -1, width)
    columns_Ahw = column_Aw[:, None].expand(-1, height, -1)
    return torch.cat([rows_Ahw, columns_Ahw])


def _axis(side: int, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Embeddings (dim, side) of the cells along one axis: sines on even channels, else cosines."""
    place_N = torch.arange(1, side + 1, dtype=dtype, device=device) / (side + 1e-6) * (2 * math.pi)
    pair_M = torch.arange(dim // 2, dtype=dtype, device=device)
    angle_MN = place_N / (TEMPERATURE ** (2 * pair_M / dim))[:, None]
    return torch.stack([angle_MN.sin(), angle_MN.cos()], dim=1).flatten(0, 1)
