"""Window attention: partition of a map into windows, and a guided Swin block.

Every map is processed separately. Queries and keys also see guidance, which all maps of an image
share. Unlike in Swin, relative position biases are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .guided import GuidedQKV, mlp, residual
from .linear import Linear

_OTHER_REGION = -100.0


@dataclass(frozen=True)
class WindowGrid:
    """Partition of an h x w map into windows.

    A side that is not longer than the window forms one window and is not shifted. A side that is
    not a multiple of the window is padded at its end. Real cells never attend to padded cells.

    Args:
        height: number of rows of cells.
        width: number of columns of cells.
        window: (rows, columns) of a window.
        shift: (rows, columns) of the cyclic shift.
    """

    height: int
    width: int
    window: tuple[int, int]
    shift: tuple[int, int]

    @classmethod
    def of(cls, height: int, width: int, window: int, shift: int) -> WindowGrid:
        """Partition into square windows, limited to the size of the map."""
        windows = (min(window, height), min(window, width))
        shifts = (shift if height > window else 0, shift if width > window else 0)
        return cls(height, width, windows, shifts)

    @property
    def padding(self) -> tuple[int, int]:
        """Number of (rows, columns) that padding adds."""
        return -self.height % self.window[0], -self.width % self.window[1]

    @property
    def count(self) -> tuple[int, int]:
        """Number of windows (down, across)."""
        return -(-self.height // self.window[0]), -(-self.width // self.window[1])

    def split(self, x_Nhwc: Tensor, heads: int) -> Tensor:
        """(N, h, w, c) -> (N, windows * heads, cells of a window, c / heads)."""
        pad_rows, pad_columns = self.padding
        if pad_rows or pad_columns:
            x_Nhwc = F.pad(x_Nhwc, (0, 0, 0, pad_columns, 0, pad_rows))
        if any(self.shift):
            x_Nhwc = x_Nhwc.roll((-self.shift[0], -self.shift[1]), (1, 2))
        (rows, columns), (down, across) = self.window, self.count
        x = x_Nhwc.reshape(x_Nhwc.shape[0], down, rows, across, columns, heads, -1)
        x = x.permute(0, 1, 3, 5, 2, 4, 6)
        return x.reshape(x_Nhwc.shape[0], down * across * heads, rows * columns, x.shape[-1])

    def merge(self, x_NMLc: Tensor, heads: int) -> Tensor:
        """Inverse of `split`."""
        (rows, columns), (down, across) = self.window, self.count
        x = x_NMLc.view(x_NMLc.shape[0], down, across, heads, rows, columns, -1)
        x = x.permute(0, 1, 4, 2, 5, 3, 6).reshape(
            x_NMLc.shape[0], down * rows, across * columns, heads * x.shape[-1]
        )
        if any(self.shift):
            x = x.roll(self.shift, (1, 2))
        return x[:, : self.height, : self.width]

    def mask(self, heads: int, like: Tensor) -> Tensor | None:
        """Bias on the attention logits, (1, windows * heads, L, L); None if none is needed.

        Cells that are neighbours only because of the cyclic shift get -100 (as published, not minus
        infinity), padded cells minus infinity.
        """
        if not any(self.shift) and not any(self.padding):
            return None
        region_hw, real_hw = self._regions(like.device)
        region_ML, real_ML = (self._windows(x_hw) for x_hw in (region_hw, real_hw))
        other = region_ML[:, :, None] != region_ML[:, None, :]
        mask_MLL = torch.zeros(other.shape, dtype=like.dtype, device=like.device)
        mask_MLL.masked_fill_(other, _OTHER_REGION)
        mask_MLL.masked_fill_(real_ML[:, :, None] & ~real_ML[:, None, :], -torch.inf)
        return mask_MLL.repeat_interleave(heads, 0)[None]

    def parts(self) -> list[tuple[slice, slice, WindowGrid]]:
        """Cuts the map into rectangles that can be processed without mask, shift and padding.

        The cuts follow the borders of the shifted windows and of the map, so each rectangle holds
        whole windows of one size. Attention within them allows the same pairs as `mask`.
        """
        down, across = (
            _bands(*sizes) for sizes in zip((self.height, self.width), self.window, self.shift)
        )
        return [
            (
                slice(top, top + rows * num_down),
                slice(left, left + columns * num_across),
                WindowGrid(rows * num_down, columns * num_across, (rows, columns), (0, 0)),
            )
            for top, rows, num_down in down
            for left, columns, num_across in across
        ]

    def _regions(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Region of each cell after padding and shift, and True for cells that are not padding."""
        regions, is_real = [], []
        for side, pad, shift in zip((self.height, self.width), self.padding, self.shift):
            cell = torch.arange(side + pad, device=device)
            regions.append((cell >= side + pad - shift).long() if shift else torch.zeros_like(cell))
            is_real.append(cell.roll(-shift) < side)
        region_hw = regions[0][:, None] * 2 + regions[1][None]
        return region_hw, is_real[0][:, None] & is_real[1][None]

    def _windows(self, x_hw: Tensor) -> Tensor:
        (rows, columns), (down, across) = self.window, self.count
        return x_hw.view(down, rows, across, columns).transpose(1, 2).reshape(down * across, -1)


def _bands(length: int, window: int, shift: int) -> list[tuple[int, int, int]]:
    """Splits one side into runs of equally long windows: (start, window, number of windows).

    >>> _bands(48, 12, 6), _bands(30, 12, 0), _bands(24, 12, 0)
    ([(0, 6, 1), (6, 12, 3), (42, 6, 1)], [(0, 12, 2), (24, 6, 1)], [(0, 12, 2)])
    """
    edges = [0, *range(shift or window, length, window), length]
    bands: list[tuple[int, int, int]] = []
    for start, stop in pairwise(edges):
        if bands and bands[-1][1] == stop - start:
            bands[-1] = (*bands[-1][:2], bands[-1][2] + 1)
        else:
            bands.append((start, stop - start, 1))
    return bands


def attend_in_windows(qkv_Nhwc: Tensor, grid: WindowGrid, heads: int, mask: Tensor | None):
    """Attention of every cell to the cells of its window, (N, h, w, 3 d) -> (N, h, w, d).

    Args:
        qkv_Nhwc: queries, keys and values of each cell, concatenated.
        grid: partition into windows.
        heads: number of attention heads.
        mask: `WindowGrid.mask`, optionally with further biases. None cuts the map into
            `WindowGrid.parts` instead, which computes and moves less but makes more calls.
    """
    parts = grid.parts() if mask is None else []
    if len(parts) <= 1:
        query, key, value = (grid.split(x, heads) for x in qkv_Nhwc.chunk(3, dim=-1))
        if mask is None:
            out = attend(query, key, value)
        else:
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return grid.merge(out, heads)
    out_Nhwd = qkv_Nhwc.new_empty(*qkv_Nhwc.shape[:3], qkv_Nhwc.shape[3] // 3)
    for rows, columns, part in parts:
        out_Nhwd[:, rows, columns] = attend_in_windows(
            qkv_Nhwc[:, rows, columns], part, heads, None
        )
    return out_Nhwd


class WindowBlock(nn.Module):
    """Pre-norm Swin block with guided attention and a GELU MLP.

    Args:
        dim: number of channels.
        guide_dim: number of channels of the guidance.
        heads: number of attention heads.
        hidden: number of channels inside the MLP.
    """

    def __init__(self, dim: int, guide_dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GuidedQKV(dim, guide_dim)
        self.project = Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, hidden, nn.GELU())

    def forward(
        self, x_Nhwc: Tensor, offset_hwc: Tensor, grid: WindowGrid, mask: Tensor | None
    ) -> Tensor:
        """Applies the block to N maps of one image.

        Args:
            x_Nhwc: maps.
            offset_hwc: guidance part of query and key, shared by all maps.
            grid: partition into windows.
            mask: see `attend_in_windows`.
        """
        qkv = self.attention(self.norm1(x_Nhwc), offset_hwc)
        attended_Nhwc = attend_in_windows(qkv, grid, self.heads, mask)
        x_Nhwc = residual(x_Nhwc, self.project(attended_Nhwc))
        return residual(x_Nhwc, self.mlp(self.norm2(x_Nhwc)))
