"""One stage of gradual fusion: mix over space and over categories, then twice as fine."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .guided import GuidedQKV, mlp
from .linear_attention import KeyValueSums, positive
from .upsample import GuidedUpsample


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
        normed_Khwc = self.norm1(pooled(x_Khwc, pool))
        key, value = self.attention.key(normed_Khwc), self.attention.value(normed_Khwc)
        return KeyValueSums.of(positive(self._split(key)), self._split(value), length)

    def attend(self, y_Khwc: Tensor, sums: KeyValueSums) -> Tensor:
        """Both residual steps on maps that are pooled already."""
        query = positive(self._split(self.attention.query(self.norm1(y_Khwc))))
        y_Khwc = y_Khwc + sums.read(query).flatten(-2)
        return y_Khwc + self.mlp(self.norm2(y_Khwc))

    def forward(self, x_Khwc: Tensor, sums: KeyValueSums, pool: int) -> Tensor:
        """
        Args:
            x_Khwc: maps of a slice of the categories.
            sums: over all of them.
            pool: side of the average pooling before; no more than the grid allows.
        """
        return added(x_Khwc, self.attend(pooled(x_Khwc, pool), sums))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


def pooled(x_Khwc: Tensor, pool: int) -> Tensor:
    """Average pooling by `pool`, or as far as the grid allows."""
    pool = min(pool, *x_Khwc.shape[1:3])
    if pool == 1:
        return x_Khwc
    return F.avg_pool2d(x_Khwc.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)


def added(x_Khwc: Tensor, y_Khwc: Tensor) -> Tensor:
    """x plus y, a mixed copy of x on a coarser grid: x counts twice, as SED published it."""
    size = (x_Khwc.shape[1], x_Khwc.shape[2])
    if y_Khwc.shape[1:3] != size:
        # Aligned corners, here only.
        y_Kchw = y_Khwc.permute(0, 3, 1, 2)
        y_Kchw = F.interpolate(y_Kchw, size, mode="bilinear", align_corners=True)
        y_Khwc = y_Kchw.permute(0, 2, 3, 1)
    return x_Khwc + y_Khwc


class FusionStage(nn.Module):
    """Mix over space, mix over categories, double the resolution with guidance.

    Args:
        space: what mixes each category's map (K, h, w, dim) by itself.
        classes: what mixes categories; None: nothing does.
        upsample: doubles the resolution.
    """

    def __init__(
        self, space: nn.Module, classes: ClassBlock | None, upsample: GuidedUpsample
    ) -> None:
        super().__init__()
        self.space, self.classes, self.upsample = space, classes, upsample

    def mix(self, x_Khwc: Tensor, pool: int, chunk: int) -> tuple[Tensor, KeyValueSums | None]:
        """Maps of all categories of an image, mixed over space, and the sums that they leave.

        Without gradients the maps are overwritten, `chunk` of them at a time.
        """
        length = len(x_Khwc)
        if torch.is_grad_enabled():
            x_Khwc = self.space(x_Khwc)
            return x_Khwc, self._sums(x_Khwc, pool, length)
        total = None
        for part_Nhwc in x_Khwc.split(chunk):
            part_Nhwc.copy_(self.space(part_Nhwc))
            sums = self._sums(part_Nhwc, pool, length)
            total = sums if total is None or sums is None else total + sums
        return x_Khwc, total

    def forward(
        self,
        x_Nhwc: Tensor,
        sums: KeyValueSums | None,
        pool: int,
        kernel: Tensor,
        offset_chw: Tensor,
        guide_Nchw: Tensor | None,
    ) -> Tensor:
        """(N, h, w, dim) of some categories, mixed over space -> (N, out, 2h, 2w).

        Args:
            x_Nhwc, sums: of `mix`.
            pool: side of the pooling before categories mix.
            kernel, offset_chw: see `GuidedUpsample`, the image's guidance in the offset.
            guide_Nchw: each category's own guidance; None where the stage has none.
        """
        if self.classes is not None and sums is not None:
            x_Nhwc = self.classes(x_Nhwc, sums, pool)
        return self.upsample(x_Nhwc.permute(0, 3, 1, 2), offset_chw, guide_Nchw, kernel)

    def _sums(self, x_Khwc: Tensor, pool: int, length: int) -> KeyValueSums | None:
        return None if self.classes is None else self.classes.sums(x_Khwc, pool, length)
