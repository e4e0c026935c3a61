"""Masks from volumes: upsampling, guided by the encoder's tapped levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CHANNELS_PER_GROUP = 16


class LevelGuide(nn.Module):
    """One tapped level, enlarged and narrowed: once per image.

    Args:
        level_dim: channels of the level.
        enlarge: how many times finer than the feature grid.
        middle: channels after enlarging.
        out: channels of the guidance.
    """

    def __init__(self, level_dim: int, enlarge: int, middle: int, out: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(level_dim, middle, enlarge, stride=enlarge)
        self.narrow = nn.Conv2d(middle, out, 3, padding=1)

    def forward(self, level_Bchw: Tensor) -> Tensor:
        return F.relu(self.narrow(self.enlarge(level_Bchw)))


class GuidedUpsample(nn.Module):
    """Twice as fine, then two convolutions over [map; guidance].

    The first convolution's guidance half is the same for all maps of an image: `offset` computes
    it once, `forward` adds it to each map.

    Args:
        dim: channels that come.
        kept: channels after upsampling, before the guidance joins.
        guide: channels of the guidance.
        out: channels that leave.
        skip: channels of a finer map of each map's own that joins too, between the other two.
    """

    def __init__(self, dim: int, kept: int, guide: int, out: int, skip: int = 0) -> None:
        super().__init__()
        self.own = kept + skip
        self.enlarge = nn.ConvTranspose2d(dim, kept, 2, stride=2)
        self.conv1 = nn.Conv2d(self.own + guide, out, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(max(1, out // _CHANNELS_PER_GROUP), out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(max(1, out // _CHANNELS_PER_GROUP), out)

    def offset(self, guide_Bchw: Tensor) -> Tensor:
        """What the guidance adds to the first convolution."""
        return F.conv2d(guide_Bchw, self.conv1.weight[:, self.own :], padding=1)

    def forward(
        self, x_Nchw: Tensor, offset_chw: Tensor | None, skip_Nchw: Tensor | None = None
    ) -> Tensor:
        """`offset_chw`: of the one image that all N maps belong to; None without guidance."""
        x_Nchw = self.enlarge(x_Nchw)
        if skip_Nchw is not None:
            x_Nchw = torch.cat([x_Nchw, skip_Nchw], dim=1)
        x_Nchw = F.conv2d(x_Nchw, self.conv1.weight[:, : self.own], padding=1)
        if offset_chw is not None:
            x_Nchw = x_Nchw.add_(offset_chw)
        x_Nchw = F.relu(self.norm1(x_Nchw), inplace=True)
        return F.relu(self.norm2(self.conv2(x_Nchw)), inplace=True)
