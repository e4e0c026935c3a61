"""One stage of gradual fusion: mix over space and over categories, then twice as fine."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.guided import GuidedQKV, mlp
from ovss.layers.linear_attention import KeyValueSums, positive
from ovss.layers.upsample import GuidedUpsample

_CONV_EPS = 1e-6


class ConvBlock(nn.Module):
    """A ConvNeXt block on every category's map by itself.

    Args:
        dim: channels.
        kernel: side of the depthwise convolution.
        hidden: channels inside the MLP.
    """

    def __init__(self, dim: int, kernel: int, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_CONV_EPS)
        self.mlp = mlp(dim, hidden, nn.GELU())
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x_Khwc: Tensor) -> Tensor:
        near_Khwc = self.depthwise(x_Khwc.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_Khwc + self.gamma * self.mlp(self.norm(near_Khwc))


class ClassBlock(nn.Module):
    """Categories of an image look at each other: CAT-Seg's class block without guidance or padding.

    Args:
        dim: channels.
        heads: attention heads.
        hidden: channels inside the MLP.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GuidedQKV(dim, 0)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, hidden, nn.ReLU())

    def sums(self, x_Khwc: Tensor, pool: int, length: int) -> KeyValueSums:
        """What a slice of the image's `length` categories leaves for all to read."""
        normed_Khwc = self.norm1(_pooled(x_Khwc, pool))
        key, value = self.attention.key(normed_Khwc), self.attention.value(normed_Khwc)
        return KeyValueSums.of(positive(self._split(key)), self._split(value), length)

    def forward(self, x_Khwc: Tensor, sums: KeyValueSums, pool: int) -> Tensor:
        """
        Args:
            x_Khwc: maps of a slice of the categories.
            sums: over all of them.
            pool: side of the average pooling before; no more than the grid allows.
        """
        y_Khwc = _pooled(x_Khwc, pool)
        query = positive(self._split(self.attention.query(self.norm1(y_Khwc))))
        y_Khwc = y_Khwc + sums.read(query).flatten(-2)
        y_Khwc = y_Khwc + self.mlp(self.norm2(y_Khwc))
        size = (x_Khwc.shape[1], x_Khwc.shape[2])
        if y_Khwc.shape[1:3] != size:
            # Aligned corners, here only.
            y_Kchw = y_Khwc.permute(0, 3, 1, 2)
            y_Kchw = F.interpolate(y_Kchw, size, mode="bilinear", align_corners=True)
            y_Khwc = y_Kchw.permute(0, 2, 3, 1)
        # y holds the pooled x already: it counts twice, as published.
        return x_Khwc + y_Khwc

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


def _pooled(x_Khwc: Tensor, pool: int) -> Tensor:
    pool = min(pool, *x_Khwc.shape[1:3])
    if pool == 1:
        return x_Khwc
    return F.avg_pool2d(x_Khwc.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)


class GradualStage(nn.Module):
    """Mix over space, mix over categories, double the resolution with guidance.

    Args:
        dim: channels that come.
        guide: channels of the image's guidance, and of the volume's.
        out: channels that leave.
        kernel: side of the depthwise convolution.
        heads: attention heads.
        expand: width of the MLPs, times `dim`.
    """

    def __init__(
        self, dim: int, guide: int, out: int, kernel: int, heads: int, expand: int
    ) -> None:
        super().__init__()
        self.space = ConvBlock(dim, kernel, expand * dim)
        self.classes = ClassBlock(dim, heads, expand * dim)
        self.upsample = GuidedUpsample(dim, dim - guide, guide, out, skip=guide)

    def mix(self, x_Khwc: Tensor, pool: int, chunk: int) -> tuple[Tensor, KeyValueSums]:
        """Maps of all categories of an image, mixed over space, and the sums that they leave.

        Without gradients the maps are overwritten, `chunk` of them at a time.
        """
        length = len(x_Khwc)
        if torch.is_grad_enabled():
            x_Khwc = self.space(x_Khwc)
            return x_Khwc, self.classes.sums(x_Khwc, pool, length)
        total = None
        for part_Nhwc in x_Khwc.split(chunk):
            part_Nhwc.copy_(self.space(part_Nhwc))
            sums = self.classes.sums(part_Nhwc, pool, length)
            total = sums if total is None else total + sums
        assert total is not None  # an image keeps at least one category
        return x_Khwc, total

    def forward(
        self,
        x_Nhwc: Tensor,
        sums: KeyValueSums,
        pool: int,
        kernel: Tensor,
        offset_chw: Tensor,
        guide_Nchw: Tensor,
    ) -> Tensor:
        """(N, h, w, dim) of some categories, mixed over space -> (N, out, 2h, 2w).

        Args:
            x_Nhwc, sums: of `mix`.
            pool: side of the pooling before categories mix.
            kernel, offset_chw: see `GuidedUpsample`, the image's guidance in the offset.
            guide_Nchw: each category's own guidance, of the volume.
        """
        x_Nchw = self.classes(x_Nhwc, sums, pool).permute(0, 3, 1, 2)
        return self.upsample(x_Nchw, offset_chw, guide_Nchw, kernel)
