"""Spatial aggregation: a pair of Swin blocks over the cells of one category's map.

Each map of the packed pairs is attended on its own; queries and keys also see the image's
appearance. There is no relative position bias.
"""

from __future__ import annotations

from torch import Tensor, nn

from ovss.layers.guided import map_chunks
from ovss.layers.windows import WindowBlock, WindowGrid


class SpatialAggregation(nn.Module):
    """Two `WindowBlock`, the second shifted by half a window.

    Args:
        dim, guide_dim, heads, hidden: see `WindowBlock`.
        window: cells along a window's side.
    """

    def __init__(self, dim: int, guide_dim: int, heads: int, hidden: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.guide_norm = nn.LayerNorm(guide_dim)
        self.blocks = nn.ModuleList(WindowBlock(dim, guide_dim, heads, hidden) for _ in range(2))

    def forward(self, x_Khwc: Tensor, appearance_hwc: Tensor, chunk: int) -> Tensor:
        """Maps of one image's categories, and that image's appearance; `chunk` maps at a time."""
        height, width = x_Khwc.shape[1:3]
        guide_hwc = self.guide_norm(appearance_hwc)
        steps = []
        for block, shift in zip(self.blocks, (0, self.window // 2)):
            offset_hwc = block.attention.offset(guide_hwc)
            grid = WindowGrid.of(height, width, self.window, shift)
            on_cpu = offset_hwc.device.type == "cpu"  # cut there, masked elsewhere
            mask = None if on_cpu else grid.mask(block.heads, offset_hwc)
            steps.append((block, offset_hwc, grid, mask))

        def both(x: Tensor) -> Tensor:
            for block, *arguments in steps:
                x = block(x, *arguments)
            return x

        return map_chunks(both, x_Khwc, chunk)
