"""Spatial enhancement (eq. 13-14): a pair of Swin blocks guided by features and attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovss.layers.windows import WindowBlock, WindowGrid

_LEAST_ATTENTION = 1e-8


@dataclass(frozen=True)
class Step:
    """Inputs of one block, computed once for each image and used by all its categories.

    Args:
        offset_Bhwc: guidance part of queries and keys.
        grid: partition into windows.
        mask: bias on the attention logits (1 or B, windows * heads, L, L); None for none.
    """

    offset_Bhwc: Tensor
    grid: WindowGrid
    mask: Tensor | None

    def of(self, images: slice | Tensor) -> Step:
        """Inputs for some pairs, see `PairGroup.images`."""
        mask = self.mask
        if mask is not None and mask.shape[0] > 1:
            mask = mask[images]
        return Step(self.offset_Bhwc[images], self.grid, mask)


class SpatialEnhancement(nn.Module):
    """Two window blocks, the second shifted by half a window.

    Args:
        dim: channels of the maps.
        guide_dim: channels of the guidance for queries and keys; 0 for no guidance.
        heads: attention heads.
        expand: width of the MLPs as a multiple of `dim`.
        window: cells along a window's side.
        position_bias: use of a learned bias for every displacement within a window.
        affinity: use of the encoder's attention as a bias. The logarithm of the attention between
            two cells, times a learned factor for each head, is added to their logit.
    """

    def __init__(
        self,
        dim: int,
        guide_dim: int,
        heads: int,
        expand: int,
        window: int,
        position_bias: bool,
        affinity: bool,
    ) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.guide_norm = nn.LayerNorm(guide_dim) if guide_dim else None
        self.blocks = nn.ModuleList(
            WindowBlock(dim, guide_dim, heads, expand * dim) for _ in range(2)
        )
        span = (2 * window - 1) ** 2
        self.position = nn.Parameter(torch.zeros(2, span, heads)) if position_bias else None
        self.affinity_scale = nn.Parameter(torch.ones(2, heads)) if affinity else None

    def steps(
        self, size: tuple[int, int], guide_Bhwc: Tensor, attention_BNN: Tensor | None
    ) -> list[Step]:
        """Prepares the inputs of both blocks.

        Args:
            size: (h, w) of the maps.
            guide_Bhwc: guidance at this size; (B, 1, 1, 0) for no guidance.
            attention_BNN: attention between the cells of the feature grid, for `affinity`.
        """
        if self.guide_norm is not None:
            guide_Bhwc = self.guide_norm(guide_Bhwc)
        steps = []
        for index, (block, shift) in enumerate(zip(self.blocks, (0, self.window // 2))):
            grid = WindowGrid.of(*size, self.window, shift)
            offset_Bhwc = block.attention.offset(guide_Bhwc)
            has_bias = self.position is not None or self.affinity_scale is not None
            # Without a bias, a CPU cuts shifted windows at the border and needs no mask.
            mask = None
            if has_bias or offset_Bhwc.device.type != "cpu":
                mask = _sum(grid.mask(self.heads, offset_Bhwc), self._position(index, grid))
            if self.affinity_scale is not None and attention_BNN is not None:
                query_ML1, key_M1L = _pairs(grid, attention_BNN.shape[-1], offset_Bhwc.device)
                near_BMLL = attention_BNN[:, query_ML1, key_M1L]
                log_BM1LL = near_BMLL.clamp(min=_LEAST_ATTENTION).log()[:, :, None]
                scale_H11 = self.affinity_scale[index][:, None, None]
                mask = _sum(mask, (log_BM1LL * scale_H11).flatten(1, 2))
            steps.append(Step(offset_Bhwc, grid, mask))
        return steps

    def forward(self, x_Nhwc: Tensor, steps: list[Step]) -> Tensor:
        """Applies both blocks to maps, with the steps of their images."""
        for block, step in zip(self.blocks, steps):
            x_Nhwc = block(x_Nhwc, step.offset_Bhwc, step.grid, step.mask)
        return x_Nhwc

    def _position(self, index: int, grid: WindowGrid) -> Tensor | None:
        """Bias (1, windows * heads, L, L) by displacement."""
        if self.position is None:
            return None
        # As in Swin, one table row for each displacement (down, across), shifted to start at 0.
        rows, columns = grid.window
        device = self.position.device
        row_L = torch.arange(rows, device=device).repeat_interleave(columns)
        column_L = torch.arange(columns, device=device).repeat(rows)
        down_LL, across_LL = (x[:, None] - x[None] + self.window - 1 for x in (row_L, column_L))
        bias_LLH = self.position[index][down_LL * (2 * self.window - 1) + across_LL]
        return bias_LLH.permute(2, 0, 1).repeat(grid.count[0] * grid.count[1], 1, 1)[None]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Sum of two tensors, where None is zero."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _pairs(grid: WindowGrid, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices (M, L, 1) and (M, 1, L) into a (cells, cells) attention, of pairs within a window.

    Maps are finer than the feature grid by a whole factor, so each of their cells lies in exactly
    one cell of the feature grid.
    """
    factor = round((grid.height * grid.width / cells) ** 0.5)
    width = grid.width // factor
    row_h, column_w = (
        torch.arange(side, device=device) // factor for side in (grid.height, grid.width)
    )
    cell_hw = (row_h[:, None] * width + column_w[None]).float()
    cell_ML = grid.split(cell_hw[None, :, :, None], 1)[0, :, :, 0].long()
    return cell_ML[:, :, None], cell_ML[:, None, :]
