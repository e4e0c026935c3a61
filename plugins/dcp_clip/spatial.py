"""Spatial enhancement (eq. 13 and 14): a pair of Swin blocks that see features and attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovss.layers.windows import WindowBlock, WindowGrid

_LEAST_ATTENTION = 1e-8


@dataclass(frozen=True)
class Step:
    """What one block of the pair needs for one image: made once, used by all its categories."""

    offset_hwc: Tensor
    grid: WindowGrid
    mask: Tensor | None


class SpatialEnhancement(nn.Module):
    """Two window blocks, the second shifted by half a window.

    Args:
        dim: channels of the maps.
        guide_dim: channels of the guidance that queries and keys see; 0: they see none.
        heads: attention heads.
        expand: width of the MLPs, times `dim`.
        window: cells along a window's side.
        position_bias: learn a bias for every displacement within a window.
        affinity: add the log of the encoder's attention between two cells to their logit, times a
            learned factor for each head.
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
    ) -> list[list[Step]]:
        """For each image, the two blocks' steps.

        Args:
            size: (h, w) of the maps.
            guide_Bhwc: guidance at that size; (B, 1, 1, 0) for none.
            attention_BNN: between the cells of the feature grid, for ``affinity``.
        """
        if self.guide_norm is not None:
            guide_Bhwc = self.guide_norm(guide_Bhwc)
        found: list[list[Step]] = [[] for _ in guide_Bhwc]
        for index, (block, shift) in enumerate(zip(self.blocks, (0, self.window // 2))):
            grid = WindowGrid.of(*size, self.window, shift)
            offset_Bhwc = block.attention.offset(guide_Bhwc)
            biased = self.position is not None or self.affinity_scale is not None
            mask = None  # on a CPU the map is cut into its windows
            if biased or offset_Bhwc.device.type != "cpu":
                mask = _added(grid.mask(self.heads, offset_Bhwc), self._position(index, grid))
            for i, steps in enumerate(found):
                own = mask
                if self.affinity_scale is not None and attention_BNN is not None:
                    near_MLL = attention_BNN[i][_pairs(grid, attention_BNN.shape[-1])]
                    log_M1LL = near_MLL.clamp(min=_LEAST_ATTENTION).log()[:, None]
                    scale_H11 = self.affinity_scale[index][:, None, None]
                    own = _added(own, (log_M1LL * scale_H11).flatten(0, 1)[None])
                steps.append(Step(offset_Bhwc[i], grid, own))
        return found

    def forward(self, x_Khwc: Tensor, steps: list[Step]) -> Tensor:
        """Maps of one image's categories, with that image's steps."""
        for block, step in zip(self.blocks, steps):
            x_Khwc = block(x_Khwc, step.offset_hwc, step.grid, step.mask)
        return x_Khwc

    def _position(self, index: int, grid: WindowGrid) -> Tensor | None:
        """(1, windows * heads, L, L) bias by displacement."""
        if self.position is None:
            return None
        rows, columns = grid.window
        device = self.position.device
        row_L = torch.arange(rows, device=device).repeat_interleave(columns)
        column_L = torch.arange(columns, device=device).repeat(rows)
        down_LL, across_LL = (x[:, None] - x[None] + self.window - 1 for x in (row_L, column_L))
        bias_LLH = self.position[index][down_LL * (2 * self.window - 1) + across_LL]
        return bias_LLH.permute(2, 0, 1).repeat(grid.count[0] * grid.count[1], 1, 1)[None]


def _added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _pairs(grid: WindowGrid, cells: int) -> tuple[Tensor, Tensor]:
    """Which entries of a (cells, cells) attention the pairs within each window fall on, (M, L, L).

    A map finer than the feature grid by a whole factor: each of its cells is part of one cell.
    """
    factor = round((grid.height * grid.width / cells) ** 0.5)
    width = grid.width // factor
    row_h, column_w = (torch.arange(side) // factor for side in (grid.height, grid.width))
    cell_hw = (row_h[:, None] * width + column_w[None]).float()
    cell_ML = grid.split(cell_hw[None, :, :, None], 1)[0, :, :, 0].long()
    return cell_ML[:, :, None], cell_ML[:, None, :]
