"""Spatial aggregation: a pair of Swin blocks over the cells of one category's map.

Attention stays within one map. Queries and keys also see the image's appearance. There is no
relative position bias.
"""

from __future__ import annotations

from torch import Tensor, nn

from ovss.layers.chunks import rows_at_once
from ovss.layers.guided import map_rows
from ovss.layers.windows import WindowBlock, WindowGrid


class SpatialAggregation(nn.Module):
    """Two `WindowBlock` modules, the second one shifted by half a window.

    Args:
        dim, guide_dim, heads, hidden: see `WindowBlock`.
        window: cells along a window's side.
    """

    def __init__(self, dim: int, guide_dim: int, heads: int, hidden: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.guide_norm = nn.LayerNorm(guide_dim)
        self.blocks = nn.ModuleList(WindowBlock(dim, guide_dim, heads, hidden) for _ in range(2))
        self.numbers = max(3 * dim, hidden)  # of a cell, in the largest intermediate result

    def forward(
        self, x_Khwc: Tensor, appearance_hwc: Tensor, chunk: int, image_K: Tensor | None = None
    ) -> Tensor:
        """Applies both blocks to the maps of one image, `chunk` maps at a time.

        Args:
            x_Khwc: feature maps, one for each category of the image.
            appearance_hwc: guidance by the image, shared by its maps.
            chunk: number of maps processed at a time on a CPU.
            image_K: image of each map, if they belong to several images; the guidance is then
                (B, h, w, c).
        """
        height, width = x_Khwc.shape[1:3]
        guide_hwc = self.guide_norm(appearance_hwc)
        steps = []
        for block, shift in zip(self.blocks, (0, self.window // 2)):
            offset_hwc = block.attention.offset(guide_hwc)
            grid = WindowGrid.of(height, width, self.window, shift)
            # On a CPU shifted windows are cut at the border; other devices mask them instead.
            on_cpu = offset_hwc.device.type == "cpu"
            mask = None if on_cpu else grid.mask(block.heads, offset_hwc)
            steps.append((block, offset_hwc, grid, mask))

        def both(x_Nhwc: Tensor, image_N: Tensor | None) -> Tensor:
            for block, offset, *arguments in steps:
                own = offset if image_N is None else offset[image_N]
                x_Nhwc = block(x_Nhwc, own, *arguments)
            return x_Nhwc

        at_once = rows_at_once(chunk, x_Khwc, height * width * self.numbers)
        return map_rows(both, x_Khwc, image_K, at_once)
