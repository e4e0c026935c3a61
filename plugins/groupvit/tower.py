"""Networks of GroupViT: image tower with grouping stages, text tower, and projectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear

from .grouping import Block, GroupingBlock, TokenMixer


@dataclass(frozen=True)
class Grouped:
    """Output of the image tower.

    Args:
        tokens_BQD: tokens of the last groups.
        assigned_BQhw: share of each group in each cell, which sums to 1 over the groups.
    """

    tokens_BQD: Tensor
    assigned_BQhw: Tensor


class Stage(nn.Module):
    """Blocks over tokens of the image and of groups, followed by a grouping block.

    Args:
        dim: number of channels.
        heads: number of heads.
        blocks: number of blocks.
        tokens: number of group tokens; 0 for a last stage without grouping.
        before: number of group tokens of the stage before; 0 if there is none.
    """

    def __init__(self, dim: int, heads: int, blocks: int, tokens: int, before: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(blocks))
        self.group_tokens = self.grouping = self.inherit_norm = self.inherit = None
        if not tokens:
            return
        self.group_tokens = nn.Parameter(torch.zeros(tokens, dim))
        self.grouping = GroupingBlock(dim, heads, tokens, tokens)
        if before:
            self.inherit_norm = nn.LayerNorm(dim)
            self.inherit = TokenMixer(before, dim // 2, tokens)
        else:
            nn.init.trunc_normal_(self.group_tokens, std=0.02)

    def forward(
        self, x_BND: Tensor, before_BGD: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Runs the stage.

        Args:
            x_BND: tokens of the image, or of the groups before.
            before_BGD: group tokens of the stage before, after its blocks.

        Returns:
            New tokens, the own group tokens after the blocks, and the soft assignment.
        """
        if self.group_tokens is None or self.grouping is None:
            for block in self.blocks:
                x_BND = block(x_BND)
            return x_BND, None, None
        tokens_BGD = self.group_tokens.expand(x_BND.shape[0], -1, -1)
        if self.inherit is not None and self.inherit_norm is not None:
            tokens_BGD = tokens_BGD + self.inherit(self.inherit_norm(before_BGD))
        both_BND = torch.cat([x_BND, tokens_BGD], dim=1)
        for block in self.blocks:
            both_BND = block(both_BND)
        x_BND, tokens_BGD = both_BND.split([x_BND.shape[1], tokens_BGD.shape[1]], dim=1)
        new_BMD, soft_BMN = self.grouping(x_BND, tokens_BGD)
        return new_BMD, tokens_BGD, soft_BMN


class GroupingTower(nn.Module):
    """Image tower of GroupViT, without class token.

    Args:
        patch: side of a patch in pixels.
        grid: side of the grid of the learned positions.
        width: number of channels.
        heads: number of heads.
        depths: number of blocks of each stage.
        groups: number of group tokens, and of groups, of each stage but the last.
    """

    def __init__(
        self,
        patch: int,
        grid: int,
        width: int,
        heads: int,
        depths: Sequence[int],
        groups: Sequence[int],
    ) -> None:
        super().__init__()
        self.grid = grid
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.norm_patches = nn.LayerNorm(width)
        self.positions = nn.Parameter(torch.randn(grid * grid, width) * 0.02)
        before = (0, *groups)
        self.stages = nn.ModuleList(
            Stage(width, heads, blocks, tokens, previous)
            for blocks, tokens, previous in zip(depths, (*groups, 0), before, strict=True)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels_B3HW: Tensor) -> Grouped:
        """Groups the cells of a batch of images of any size in whole patches."""
        patches_BDhw = self.patches(pixels_B3HW)
        x_BND = self.norm_patches(patches_BDhw.flatten(2).transpose(1, 2))
        size = (patches_BDhw.shape[2], patches_BDhw.shape[3])
        x_BND = x_BND + self._positions(size).to(x_BND.dtype)
        tokens_BGD, assigned_BQN = None, None
        for stage in self.stages:
            x_BND, tokens_BGD, soft_BMN = stage(x_BND, tokens_BGD)
            if soft_BMN is not None:
                assigned_BQN = soft_BMN if assigned_BQN is None else soft_BMN @ assigned_BQN
        assert assigned_BQN is not None
        return Grouped(self.norm(x_BND), assigned_BQN.unflatten(2, size))

    def _positions(self, size: tuple[int, int]) -> Tensor:
        """Positions of a grid, resized bicubically without antialiasing."""
        if size == (self.grid, self.grid):
            return self.positions
        grid_1Dhw = self.positions.T.unflatten(1, (self.grid, self.grid))[None]
        grid_1Dhw = F.interpolate(grid_1Dhw, size=size, mode="bicubic", align_corners=False)
        return grid_1Dhw[0].flatten(1).T


class Projector(nn.Sequential):
    """Two linear layers with batch normalisation between them.

    Args:
        width: number of channels of the input.
        hidden: number of hidden channels.
        out: number of channels of the joint space.
    """

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__(
            Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), Linear(hidden, out)
        )


def build_text_tower(config: dict, projector: Projector) -> nn.Module:
    """Builds open_clip's text transformer, with split attention and the projector at its end.

    Args:
        config: ``text_cfg`` of open_clip.
        projector: module from the tower's width to the joint space.
    """
    from open_clip.transformer import QuickGELU, TextTransformer

    from ovss.encoders.attention import split_attention

    tower = TextTransformer(
        context_length=config["context_length"],
        vocab_size=config["vocab_size"],
        width=config["width"],
        heads=config["heads"],
        layers=config["layers"],
        output_dim=config["width"],
        act_layer=QuickGELU,
    )
    split_attention(tower.transformer.resblocks)
    del tower.text_projection  # a parameter, whose name a module must not take
    tower.text_projection = projector
    return tower
