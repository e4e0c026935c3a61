"""Geometry of inference at several scales, and the mean over views that keep other categories.

The geometry is that of the evaluator of LSeg (ICLR 2022), taken from PyTorch-Encoding. Windows
start at multiples of the stride. The last ones are not moved back: they reach over the border,
where black pixels are added. All resizing aligns corners.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.selection import Selection

__all__ = ["MapMean", "open_starts", "resize_aligned", "scaled_size"]


def scaled_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Size (height, width) with a longer side of `longest` pixels, at least one pixel each.

    >>> scaled_size((75, 110), 52)
    (35, 52)
    """
    height, width = size
    if height > width:
        return longest, max(int(width * longest / height + 0.5), 1)
    return max(int(height * longest / width + 0.5), 1), longest


def open_starts(side: int, window: int, stride: int) -> list[int]:
    """Start of each window along a side; the last one may reach over the border.

    >>> open_starts(500, 480, 320), open_starts(400, 480, 320)
    ([0, 320], [0])
    """
    return [stride * i for i in range(math.ceil(max(side - window, 0) / stride) + 1)]


def resize_aligned(x_BDhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps at another size, bilinear with aligned corners."""
    if tuple(x_BDhw.shape[2:]) == size:
        return x_BDhw
    return F.interpolate(x_BDhw, size=size, mode="bilinear", align_corners=True)


class MapMean:
    """Weighted mean of the maps of several views of an image, which may keep other categories."""

    def __init__(self) -> None:
        self.total_KHW = self.weight_KHW = torch.empty(0)
        self.selection: Selection | None = None

    def add(self, maps_KHW: Tensor, weight_KHW: Tensor, selection: Selection) -> None:
        """Adds maps that are multiplied by their weights already.

        Args:
            maps_KHW: one map per category.
            weight_KHW: weights, whose maps may have a single pixel.
            selection: categories of the maps.
        """
        if self.selection is None:
            self.total_KHW, self.weight_KHW, self.selection = maps_KHW, weight_KHW, selection
            return
        old, joint = self.selection, Selection.union([self.selection, selection])
        self.total_KHW = _spread(self.total_KHW, old, joint) + _spread(maps_KHW, selection, joint)
        self.weight_KHW = _spread(self.weight_KHW, old, joint) + _spread(
            weight_KHW, selection, joint
        )
        self.selection = joint

    def result(self) -> tuple[Tensor, Selection]:
        """Mean maps, minus infinity without weight, and their categories."""
        assert self.selection is not None
        mean_KHW = self.total_KHW / self.weight_KHW.clamp(min=1e-6)
        return mean_KHW.masked_fill(self.weight_KHW <= 0, -torch.inf), self.selection


def _spread(x_K: Tensor, old: Selection, new: Selection) -> Tensor:
    """Rows of one image's categories in the order of a larger selection; 0 for the others."""
    if old.index_BK.shape == new.index_BK.shape:
        return x_K
    out_K = x_K.new_zeros(new.index_BK.shape[1], *x_K.shape[1:])
    out_K[new.localize(old.index_BK[:, None])[0, 0]] = x_K
    return out_K
