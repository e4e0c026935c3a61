"""Feature pyramid from an encoder's levels and a light stem on the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.ops import resize
from ovss.structures import ImageFeatures

_CHANNELS_PER_GROUP = 16


class PixelPyramid(nn.Module):
    """Maps at several scales: semantics from the encoder's levels, borders from the pixels.

    The coarsest map lies on the feature grid. Each stage of the stem halves the image, and each
    stage of the pyramid doubles the grid and joins the map of the stem at that scale.

    Args:
        level_dims: number of channels of the encoder's levels.
        dim: number of channels of the maps.
        stem_dims: number of channels of the stem's stages, fine first; each adds one scale.
    """

    def __init__(self, level_dims: Sequence[int], dim: int, stem_dims: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in level_dims)
        self.place = nn.Conv2d(2, dim, 1, bias=False)
        self.mix = _block(dim, dim)
        widths = (3, *stem_dims)
        self.stem = nn.ModuleList(
            _block(before, width, stride=2) for before, width in zip(widths, stem_dims)
        )
        self.join = nn.ModuleList(_block(dim + width, dim) for width in reversed(stem_dims))

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> list[Tensor]:
        """Maps (B, dim, h_i, w_i), coarse first.

        Args:
            features: features with the levels.
            image_B3HW: RGB in 0..255.
        """
        grid = (features.dense_BChw.shape[2], features.dense_BChw.shape[3])
        x_BDhw = self.place(_places(grid, features.dense_BChw))
        for project, level_Bchw in zip(self.project, features.levels, strict=True):
            projected_BDhw = project(level_Bchw)
            if projected_BDhw.shape[2:] != grid:  # a level that is finer than the feature grid
                projected_BDhw = F.adaptive_avg_pool2d(projected_BDhw, grid)
            x_BDhw = x_BDhw + projected_BDhw
        maps, skips = [self.mix(x_BDhw)], self._skips(features, image_B3HW, grid)
        for join, skip_Bchw in zip(self.join, reversed(skips), strict=True):
            size = (skip_Bchw.shape[2], skip_Bchw.shape[3])
            large_BDhw = F.interpolate(maps[-1], size=size, mode="bilinear")
            maps.append(join(torch.cat([large_BDhw, skip_Bchw], dim=1)))
        return maps

    def _skips(
        self, features: ImageFeatures, image_B3HW: Tensor, grid: tuple[int, int]
    ) -> list[Tensor]:
        """Maps of the stem, fine first."""
        if not self.stem:
            return []
        pixels_B3HW = image_B3HW.to(features.dense_BChw.dtype) / 64 - 2
        padding = features.padding
        if padding is not None:
            (height, width), own = padding.padded, padding.image
            pixels_B3HW = F.pad(resize(pixels_B3HW, own), (0, width - own[1], 0, height - own[0]))
        scale = 2 ** (len(self.stem) + 1)
        size = (grid[0] * scale, grid[1] * scale)
        if pixels_B3HW.shape[2:] != size:
            pixels_B3HW = F.interpolate(pixels_B3HW, size=size, mode="bilinear", antialias=True)
        skips = []
        for stage in self.stem:
            pixels_B3HW = stage(pixels_B3HW)
            skips.append(pixels_B3HW)
        return skips


def _places(grid: tuple[int, int], like: Tensor) -> Tensor:
    """Row and column of each cell in -1..1, (1, 2, h, w)."""
    rows, columns = ((torch.arange(n, device=like.device) * 2 + 1) / n - 1 for n in grid)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None].to(like.dtype)


def _block(dim: int, out: int, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(dim, out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(max(1, out // _CHANNELS_PER_GROUP), out),
        nn.GELU(),
    )
