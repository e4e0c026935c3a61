"""Upsampling of masks, guided by levels of the encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.ops import without_autocast

_CHANNELS_PER_GROUP = 16


class LevelGuide(nn.Module):
    """Guidance map from one level of the encoder, computed once per image.

    The level is enlarged and its channels are reduced. A level that is finer than the feature grid
    is averaged down to the required grid only afterwards, so the convolutions see its detail.

    Args:
        level_dim: number of channels of the level.
        enlarge: factor by which the guidance is finer than the feature grid.
        middle: number of channels after enlarging.
        out: number of channels of the guidance.
    """

    def __init__(self, level_dim: int, enlarge: int, middle: int, out: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(level_dim, middle, enlarge, stride=enlarge)
        self.narrow = nn.Conv2d(middle, out, 3, padding=1)

    def forward(self, level_Bchw: Tensor, scale: int = 1) -> Tensor:
        """Computes the guidance map.

        Args:
            level_Bchw: level of the encoder.
            scale: factor by which the level is finer than the feature grid.
        """
        guide_Bchw = F.relu(self.narrow(self.enlarge(level_Bchw)))
        return guide_Bchw if scale == 1 else F.avg_pool2d(guide_Bchw, scale)


class GuidedUpsample(nn.Module):
    """Upsampling by two, followed by two convolutions over [map; skip; guidance].

    The guidance is the same for all maps of an image. `offset` therefore computes its part of the
    first convolution once, and `forward` adds it to each map.

    Args:
        dim: number of input channels.
        kept: number of channels after upsampling.
        guide: number of channels of the guidance.
        out: number of output channels.
        skip: number of channels of the finer skip map that belongs to each map; 0 for none.
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
        """Part of the first convolution that depends only on the guidance."""
        added_Bchw = F.conv2d(guide_Bchw, self.conv1.weight[:, self.own :], padding=1)
        return added_Bchw.contiguous(memory_format=torch.channels_last)  # like the maps

    def composed(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Composes the upsampling and the first convolution into one transposed convolution.

        Both are linear with nothing between them, so their kernels can be convolved with each
        other, which halves the multiplications. The bias of the upsampling becomes a map, because
        the zero padding of the convolution removes part of it at the border.

        Args:
            size: (height, width) of the enlarged maps.

        Returns:
            The kernel (dim, out, 4, 4) for `forward`, and a map (out, *size) to add to its offset.
        """
        first = self.conv1.weight[:, : self.kept]
        with without_autocast(first.device):
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
        """Upsamples maps of one image by two.

        Args:
            x_Nchw: maps of one image.
            offset_chw: `offset` of the image's guidance; None without guidance.
            skip_Nchw: skip map of each map; None without skip maps.
            kernel: kernel from `composed`, whose map must then be part of `offset_chw`. None
                computes the upsampling and the first convolution separately.
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
