"""Masks from volumes: upsampling, guided by the encoder's tapped levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CHANNELS_PER_GROUP = 16


class LevelGuide(nn.Module):
    """One tapped level, enlarged and narrowed: once per image.

    A level finer than the feature grid is enlarged and narrowed as it is, and averaged down to the
    grid of what it guides afterwards: its detail is read before it is lost.

    Args:
        level_dim: channels of the level.
        enlarge: how many times finer than the feature grid the guidance is.
        middle: channels after enlarging.
        out: channels of the guidance.
    """

    def __init__(self, level_dim: int, enlarge: int, middle: int, out: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(level_dim, middle, enlarge, stride=enlarge)
        self.narrow = nn.Conv2d(middle, out, 3, padding=1)

    def forward(self, level_Bchw: Tensor, scale: int = 1) -> Tensor:
        """
        Args:
            level_Bchw: the level.
            scale: how many times finer than the feature grid it is.
        """
        guide_Bchw = F.relu(self.narrow(self.enlarge(level_Bchw)))
        return guide_Bchw if scale == 1 else F.avg_pool2d(guide_Bchw, scale)


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
        self.kept, self.own = kept, kept + skip
        self.enlarge = nn.ConvTranspose2d(dim, kept, 2, stride=2)
        self.conv1 = nn.Conv2d(self.own + guide, out, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(max(1, out // _CHANNELS_PER_GROUP), out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(max(1, out // _CHANNELS_PER_GROUP), out)

    def offset(self, guide_Bchw: Tensor) -> Tensor:
        """What the guidance adds to the first convolution."""
        added_Bchw = F.conv2d(guide_Bchw, self.conv1.weight[:, self.own :], padding=1)
        return added_Bchw.contiguous(memory_format=torch.channels_last)  # as maps come

    def composed(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Enlarging and the first convolution as one transposed convolution: half the products.

        Nothing stands between the two, so their kernels compose; the enlarged bias becomes a map,
        because the convolution sees less of it at the border.

        Args:
            size: (height, width) of the enlarged maps.

        Returns:
            The kernel (dim, out, 4, 4) for `forward`, and a map (out, *size) to add to its offset.
        """
        first = self.conv1.weight[:, : self.kept]
        kind = first.device.type if first.device.type != "meta" else "cpu"
        with torch.autocast(kind, enabled=False):
            kernel = F.conv2d(self.enlarge.weight, first, padding=2)
            bias_o1hw = torch.einsum("m,omhw->ohw", self.enlarge.bias, first)[:, None]
            ones_11HW = first.new_ones(1, 1, *size)
            return kernel, F.conv2d(ones_11HW, bias_o1hw, padding=1)[0]

    def forward(
        self,
        x_Nchw: Tensor,
        offset_chw: Tensor | None,
        skip_Nchw: Tensor | None = None,
        kernel: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            x_Nchw: maps of one image.
            offset_chw: `offset` of that image's guidance; None without guidance.
            skip_Nchw: each map's own skip.
            kernel: of `composed`, whose map is in `offset_chw` then; None: step by step.
        """
        weight = self.conv1.weight[:, : self.own]
        if kernel is not None:
            x_Nchw = F.conv_transpose2d(x_Nchw, kernel, stride=2, padding=1)
            if skip_Nchw is not None:
                x_Nchw = x_Nchw.add_(F.conv2d(skip_Nchw, weight[:, self.kept :], padding=1))
        elif skip_Nchw is not None:
            x_Nchw = F.conv2d(torch.cat([self.enlarge(x_Nchw), skip_Nchw], 1), weight, padding=1)
        else:
            x_Nchw = F.conv2d(self.enlarge(x_Nchw), weight, padding=1)
        if offset_chw is not None:
            x_Nchw = x_Nchw.add_(offset_chw)
        x_Nchw = F.relu(self.norm1(x_Nchw), inplace=True)
        return F.relu(self.norm2(self.conv2(x_Nchw)), inplace=True)
