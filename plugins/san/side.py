"""The side adapter of SAN: a small ViT that looks at the pixels and at CLIP's inner features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.encoders.attention import Attention
from ovss.layers.linear import Linear, linear
from ovss.ops import resize

__all__ = ["SideAdapter"]

_EPS = 1e-6


class SideAdapter(nn.Module):
    """ViT over query tokens and patches; CLIP's features are added to its patches.

    Positions are added to the tokens after every block but the last, as in the authors' code.

    Args:
        clip_width: number of channels of CLIP's features.
        stages: for each fused feature, the number of blocks after which it is added; ascending.
        width: number of channels of a token.
        depth: number of blocks.
        heads: number of attention heads.
        patch: side of a patch in pixels.
        grid: (height, width) of the learned positions, in patches.
        queries: Q, the number of query tokens.
    """

    def __init__(
        self,
        clip_width: int,
        stages: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        patch: int,
        grid: tuple[int, int],
        queries: int,
    ) -> None:
        super().__init__()
        self.stages, self.grid = tuple(stages), grid
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Parameter(torch.empty(grid[0] * grid[1], width))
        self.queries = nn.Parameter(torch.empty(queries, width))
        self.query_positions = nn.Parameter(torch.empty(queries, width))
        self.blocks = nn.ModuleList(SideBlock(width, heads) for _ in range(depth))
        self.fusion = nn.ModuleList(Fusion(clip_width, width) for _ in stages)
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.normal_(self.queries, std=0.02)
        nn.init.normal_(self.query_positions, std=0.02)

    def forward(
        self, pixels_B3HW: Tensor, features: Sequence[Tensor], taps: Sequence[int]
    ) -> tuple[list[tuple[Tensor, Tensor]], tuple[int, int]]:
        """Runs the adapter.

        Args:
            pixels_B3HW: normalised pixels.
            features: CLIP's features (B, D, h, w), one for each of `stages`.
            taps: numbers of blocks after which tokens are returned; ascending.

        Returns:
            Queries (B, Q, width) and patches (B, L, width) at each tap; and the grid of the
            patches.
        """
        patches_BDhw = self.patches(pixels_B3HW)
        grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
        batch, count = patches_BDhw.shape[0], len(self.queries)
        position_MD = torch.cat([self.query_positions, self._positions(grid)])
        queries_BQD = self.queries.expand(batch, -1, -1)
        tokens_BMD = torch.cat([queries_BQD, patches_BDhw.flatten(2).transpose(1, 2)], dim=1)
        tokens_BMD = self._fused(tokens_BMD + position_MD, features, 0, grid)
        outputs = []
        for index, block in enumerate(self.blocks, 1):
            tokens_BMD = self._fused(block(tokens_BMD), features, index, grid)
            if index in taps:
                outputs.append((tokens_BMD[:, :count], tokens_BMD[:, count:]))
            if index == taps[-1]:
                break
            if index < len(self.blocks):
                tokens_BMD = tokens_BMD + position_MD
        return outputs, grid

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Positions of a grid, (L, width): bicubic, without antialiasing."""
        if grid == self.grid:
            return self.positions
        map_1Dhw = self.positions.float().T.unflatten(1, self.grid)[None]
        map_1Dhw = F.interpolate(map_1Dhw, size=grid, mode="bicubic", align_corners=False)
        return map_1Dhw[0].flatten(1).T.to(self.positions.dtype)

    def _fused(
        self, tokens_BMD: Tensor, features: Sequence[Tensor], stage: int, grid: tuple[int, int]
    ) -> Tensor:
        """Tokens with the feature of a stage added to the patches, if the stage has one."""
        if stage not in self.stages:
            return tokens_BMD
        index, count = self.stages.index(stage), len(self.queries)
        added_BLD = self.fusion[index](features[index], grid)
        return torch.cat([tokens_BMD[:, :count], tokens_BMD[:, count:] + added_BLD], dim=1)


class SideBlock(nn.Module):
    """Pre-norm transformer block with exact GELU.

    Args:
        width: number of channels of a token.
        heads: number of attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.expand = Linear(width, 4 * width)
        self.contract = Linear(4 * width, width)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens_BMD: Tensor) -> Tensor:
        """Output tokens (B, M, width)."""
        tokens_BMD = tokens_BMD + self.attention(self.norm1(tokens_BMD))
        normed_BMD = self.norm2(tokens_BMD)
        hidden = linear(normed_BMD, self.expand.weight, self.expand.bias, "gelu")
        return tokens_BMD + self.contract(hidden)


class Fusion(nn.Module):
    """Projection of a feature of CLIP to the width and the grid of the side adapter.

    Args:
        clip_width: number of channels of the feature.
        width: number of channels of the side adapter.
    """

    def __init__(self, clip_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(clip_width, eps=_EPS)
        self.project = Linear(clip_width, width)
        nn.init.kaiming_uniform_(self.project.weight, a=1)
        nn.init.zeros_(self.project.bias)

    def forward(self, feature_BDhw: Tensor, grid: tuple[int, int]) -> Tensor:
        """Values (B, L, width) to add to the patches of a grid of L cells."""
        own = feature_BDhw.shape[2:]
        projected_BND = self.project(self.norm(feature_BDhw.flatten(2).transpose(1, 2)))
        map_BDhw = projected_BND.transpose(1, 2).unflatten(2, tuple(own))
        return resize(map_BDhw, grid).flatten(2).transpose(1, 2)
