"""Attention inside windows of a map that are shifted cyclically (Swin, ICCV 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear

__all__ = ["WindowAttention"]

OTHER_REGION = -100.0
"""Bias between cells that are neighbours only because of the cyclic shift, as published."""


class WindowAttention(nn.Module):
    """Attention among the cells of a window, with biases for their relative places.

    Args:
        dim: number of channels.
        heads: number of attention heads.
        window: side of a window in cells.
        shift: number of cells by which the windows are shifted, 0 for none.
    """

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = Linear(dim, 3 * dim), Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        for part in (self.qkv, self.proj):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """Computes the attention of every cell.

        Args:
            x_BhwD: cells; an incomplete window is filled up with zeros, which cells attend to.
        """
        batch, height, width, _ = x_BhwD.shape
        side, heads = self.window, self.heads
        x_BhwD = F.pad(x_BhwD, (0, 0, 0, -width % side, 0, -height % side))
        if self.shift:
            x_BhwD = x_BhwD.roll((-self.shift, -self.shift), (1, 2))
        down, across = x_BhwD.shape[1] // side, x_BhwD.shape[2] // side
        x = self.qkv(x_BhwD).view(batch, down, side, across, side, 3, heads, -1)
        query, key, value = x.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 4).split(1)
        # windows and heads are one axis, so that the fused kernels take the biases
        shape = (batch, down * across * heads, side * side, -1)
        bias = self._biases().repeat(down * across, 1, 1)
        if self.shift:
            bias = bias + self._regions(down, across, bias).repeat_interleave(heads, 0)
        out = F.scaled_dot_product_attention(
            query[0].view(shape), key[0].view(shape), value[0].view(shape), bias[None].to(x)
        )
        out = out.view(batch, down, across, heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
        out_BhwD = out.reshape(batch, down * side, across * side, -1)
        if self.shift:
            out_BhwD = out_BhwD.roll((self.shift, self.shift), (1, 2))
        return self.proj(out_BhwD[:, :height, :width])

    def _biases(self) -> Tensor:
        """Bias (heads, L, L) of each pair of cells of a window."""
        side = self.window
        place_L = torch.arange(side * side, device=self.relative_position_bias_table.device)
        row_L, column_L = place_L // side, place_L % side
        row_LL = row_L[:, None] - row_L + side - 1
        column_LL = column_L[:, None] - column_L + side - 1
        index_LL = row_LL * (2 * side - 1) + column_LL
        return self.relative_position_bias_table[index_LL].permute(2, 0, 1)

    def _regions(self, down: int, across: int, like: Tensor) -> Tensor:
        """Bias (windows, L, L) that keeps cells apart which the shift made neighbours."""
        side, regions = self.window, []
        for count in (down, across):
            place_N = torch.arange(count * side, device=like.device)
            start = count * side - side
            regions.append((place_N >= start).long() + (place_N >= count * side - self.shift))
        region_hw = 3 * regions[0][:, None] + regions[1]
        region_ML = (
            region_hw.view(down, side, across, side).transpose(1, 2).flatten(2).flatten(0, 1)
        )
        other_MLL = region_ML[:, :, None] != region_ML[:, None]
        return torch.zeros_like(other_MLL, dtype=like.dtype).masked_fill(other_MLL, OTHER_REGION)
