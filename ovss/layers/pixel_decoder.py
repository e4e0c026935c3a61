"""Pixel decoder of Mask2Former: levels of an encoder exchange information and give fine features.

Mask2Former (CVPR 2022) names it MSDeformAttn, after its attention (Deformable DETR, ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.ops import at_least_single, resize, without_autocast

from .deformable import DeformableAttention, Size, cell_centres
from .guided import mlp
from .sine_positions import sine_positions

__all__ = ["PixelDecoder"]


class PixelDecoder(nn.Module):
    """Enriches the levels of an encoder by deformable attention and adds a finer map.

    All levels but the finest attend to one another. The finest is added to the result by one step
    of a feature pyramid. Everything is computed in at least single precision, also under autocast,
    because the places of points need it.

    Args:
        in_dims: number of channels of each level, fine first.
        dim: number of channels inside, and of the levels that it gives.
        mask_dim: number of channels of the fine map; None for `dim`.
        heads: number of attention heads.
        layers: number of attention layers.
        points: points of each head in each level.
        feedforward: number of hidden channels of the layers' MLPs.
        groups: number of groups of the group norms.

    Raises:
        ValueError: an argument out of range, or fewer than two levels.
    """

    def __init__(
        self,
        in_dims: Sequence[int],
        dim: int = 256,
        mask_dim: int | None = None,
        heads: int = 8,
        layers: int = 6,
        points: int = 4,
        feedforward: int = 1024,
        groups: int = 32,
    ) -> None:
        super().__init__()
        if len(in_dims) < 2:
            raise ValueError(f"PixelDecoder expects two levels or more, got {excerpt(in_dims)}.")
        check_range("PixelDecoder", 1, in_dims=min(in_dims), feedforward=feedforward, groups=groups)
        check_range("PixelDecoder", 0, layers=layers)
        if dim % groups:
            raise ValueError(
                f"PixelDecoder expects dim to be a multiple of groups={groups}, got {dim}."
            )
        fine, *coarse = in_dims
        self.embeds = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, 1), nn.GroupNorm(groups, dim))
            for width in reversed(coarse)
        )
        self.level_LD = nn.Parameter(torch.randn(len(coarse), dim))
        self.layers = nn.ModuleList(
            PixelLayer(dim, heads, len(coarse), points, feedforward) for _ in range(layers)
        )
        self.lateral = nn.Sequential(nn.Conv2d(fine, dim, 1, bias=False), nn.GroupNorm(groups, dim))
        self.smooth = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.GroupNorm(groups, dim), nn.ReLU()
        )
        self.mask = nn.Conv2d(dim, mask_dim or dim, 1)
        self._initialise()

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes features of pixels.

        Args:
            levels: maps (B, in_dim, h, w), fine first.

        Returns:
            Fine map (B, mask_dim, h, w) of the size of the first level; the other levels,
            coarse first, each (B, dim, h, w).

        Raises:
            ValueError: another number of levels than that of `in_dims`.
        """
        if len(levels) != len(self.embeds) + 1:
            raise ValueError(
                f"PixelDecoder expects {len(self.embeds) + 1} levels, got {len(levels)}."
            )
        with without_autocast(levels[0].device):
            fine, *coarse = (at_least_single(level) for level in levels)
            maps = self._attend(coarse[::-1])
            fine_BDhw = self.lateral(fine)
            fine_BDhw = fine_BDhw + resize(maps[-1], (fine.shape[2], fine.shape[3]))
            return self.mask(self.smooth(fine_BDhw)), maps

    def _attend(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels, coarse first, after all layers."""
        maps = [embed(level) for embed, level in zip(self.embeds, levels, strict=True)]
        sizes: list[Size] = [(x.shape[2], x.shape[3]) for x in maps]
        position_ND = torch.cat(
            [
                sine_positions(x, x.shape[1]).flatten(1).T + level_D
                for x, level_D in zip(maps, self.level_LD, strict=True)
            ]
        )
        x_BND = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        centre_N2 = cell_centres(sizes, x_BND)
        for layer in self.layers:
            x_BND = layer(x_BND, position_ND, centre_N2, sizes)
        parts = x_BND.split([height * width for height, width in sizes], dim=1)
        return tuple(
            part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)
        )

    def _initialise(self) -> None:
        for conv in self.modules():
            if not isinstance(conv, nn.Conv2d):
                continue
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            nn.init.kaiming_uniform_(conv.weight, a=1)
        for parameter in self.embeds.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)


class PixelLayer(nn.Module):
    """Deformable attention of all cells of all levels, and an MLP; norms come after both.

    Args:
        dim, heads, levels, points: see `DeformableAttention`.
        feedforward: number of hidden channels of the MLP.
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int, feedforward: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(dim, heads, levels, points)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, feedforward, nn.ReLU())
        self.norm2 = nn.LayerNorm(dim)
        for parameter in self.mlp.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, x_BND: Tensor, position_ND: Tensor, centre_N2: Tensor, sizes: Sequence[Size]
    ) -> Tensor:
        """Updates the cells `x_BND` of all levels; for the arguments see `DeformableAttention`."""
        x_BND = self.norm1(x_BND + self.attention(x_BND + position_ND, x_BND, centre_N2, sizes))
        return self.norm2(x_BND + self.mlp(x_BND))
