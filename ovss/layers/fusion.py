"""One stage of gradual fusion: mixing over space and over categories, then upsampling by two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.kernels.portions import split_rows

from .guided import GuidedQKV, mlp
from .linear_attention import KeyValueSums, positive
from .upsample import GuidedUpsample


class ClassBlock(nn.Module):
    """Linear attention between the categories of an image, without guidance and padding.

    It corresponds to CAT-Seg's class block.

    Args:
        dim: number of channels.
        heads: number of attention heads.
        hidden: number of channels inside the MLP.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GuidedQKV(dim, 0)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, hidden, nn.ReLU())

    def sums(self, x_Khwc: Tensor, pool: int, length: int) -> KeyValueSums:
        """Key and value sums over some of the image's `length` categories."""
        normed_Khwc = self.norm1(pooled(x_Khwc, pool))
        key, value = self.attention.key(normed_Khwc), self.attention.value(normed_Khwc)
        return KeyValueSums.of(positive(self._split(key)), self._split(value), length)

    def attend(self, y_Khwc: Tensor, sums: KeyValueSums) -> Tensor:
        """Attention and MLP, with their residuals, on pooled maps."""
        query = positive(self._split(self.attention.query(self.norm1(y_Khwc))))
        y_Khwc = y_Khwc + sums.read(query).flatten(-2)
        return y_Khwc + self.mlp(self.norm2(y_Khwc))

    def forward(self, x_Khwc: Tensor, sums: KeyValueSums, pool: int) -> Tensor:
        """Mixes some of the categories with all of them.

        Args:
            x_Khwc: maps of some categories.
            sums: key and value sums over all categories.
            pool: side of the average pooling before attention, limited by the grid.
        """
        return added(x_Khwc, self.attend(pooled(x_Khwc, pool), sums))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


def pooled(x_Khwc: Tensor, pool: int) -> Tensor:
    """Average pooling by `pool`, limited by the size of the grid."""
    pool = min(pool, *x_Khwc.shape[1:3])
    if pool == 1:
        return x_Khwc
    return F.avg_pool2d(x_Khwc.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)


def added(x_Khwc: Tensor, y_Khwc: Tensor) -> Tensor:
    """Sum of x and y, which is a mixed copy of x on a coarser grid.

    As in SED's published code, y already contains x, so x counts twice.
    """
    size = (x_Khwc.shape[1], x_Khwc.shape[2])
    if y_Khwc.shape[1:3] != size:
        # SED aligns corners here, unlike everywhere else.
        y_Kchw = y_Khwc.permute(0, 3, 1, 2)
        y_Kchw = F.interpolate(y_Kchw, size, mode="bilinear", align_corners=True)
        y_Khwc = y_Kchw.permute(0, 2, 3, 1)
    return x_Khwc + y_Khwc


class FusionStage(nn.Module):
    """Mixing over space, mixing over categories, and guided upsampling by two.

    Args:
        space: module that mixes each category's map in (K, h, w, dim) separately.
        classes: module that mixes categories; None if they are not mixed.
        upsample: module that doubles the resolution.
    """

    def __init__(
        self, space: nn.Module, classes: ClassBlock | None, upsample: GuidedUpsample
    ) -> None:
        super().__init__()
        self.space, self.classes, self.upsample = space, classes, upsample

    def mix(self, x_Khwc: Tensor, pool: int, chunk: int) -> tuple[Tensor, KeyValueSums | None]:
        """Mixes the maps of all categories of an image over space.

        Without gradients the maps are overwritten, `chunk` categories at a time, to save memory.

        Returns:
            The mixed maps, and their key and value sums for mixing over categories.
        """
        length = x_Khwc.shape[0]
        if torch.is_grad_enabled():
            x_Khwc = self.space(x_Khwc)
            return x_Khwc, self._sums(x_Khwc, pool, length)
        total = None
        for part_Nhwc in split_rows(x_Khwc, chunk):
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
        """Mixes some categories with all others and upsamples them to (N, out, 2h, 2w).

        Args:
            x_Nhwc: maps of some categories, mixed over space by `mix`.
            sums: sums of all categories from `mix`.
            pool: side of the average pooling before categories are mixed.
            kernel: composed kernel, see `GuidedUpsample.composed`.
            offset_chw: offset that holds the image's guidance, see `GuidedUpsample.offset`.
            guide_Nchw: guidance of each category; None if the stage has none.
        """
        if self.classes is not None and sums is not None:
            x_Nhwc = self.classes(x_Nhwc, sums, pool)
        return self.upsample(x_Nhwc.permute(0, 3, 1, 2), offset_chw, guide_Nchw, kernel)

    def _sums(self, x_Khwc: Tensor, pool: int, length: int) -> KeyValueSums | None:
        return None if self.classes is None else self.classes.sums(x_Khwc, pool, length)
