"""Linear attention over the categories of an image, separately at each location.

Katharopoulos et al., "Transformers are RNNs" (ICML 2020), with the feature map elu + 1. A category
sees the others only through sums over all categories. The computation therefore splits into two
steps that both work on a few categories at a time: accumulate the sums, then read them.

Axes: K categories, h w cells, M heads, d e channels of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 1e-6


@dataclass(frozen=True)
class KeyValueSums:
    """Key and value sums over some or all categories of an image.

    Args:
        values_hwMde: sum of key x value / `length`.
        keys_hwMd: sum of the keys.
        length: number of all categories of the image. It cancels out in the result, but keeps the
            sums small enough for half precision.
    """

    values_hwMde: Tensor
    keys_hwMd: Tensor
    length: int

    @classmethod
    def of(cls, key_KhwMd: Tensor, value_KhwMd: Tensor, length: int) -> KeyValueSums:
        """Sums over K categories. Keys must have passed through `positive`."""
        values = torch.einsum("khwmd,khwme->hwmde", key_KhwMd, value_KhwMd / length)
        return cls(values, key_KhwMd.sum(0), length)

    def __add__(self, other: KeyValueSums) -> KeyValueSums:
        return KeyValueSums(
            self.values_hwMde + other.values_hwMde, self.keys_hwMd + other.keys_hwMd, self.length
        )

    def read(self, query_KhwMd: Tensor) -> Tensor:
        """Attention output of each query, (K, h, w, M, e). Queries must be `positive`."""
        weight = (query_KhwMd * self.keys_hwMd).sum(-1, keepdim=True) + _EPS
        out_KhwMe = torch.einsum("khwmd,hwmde->khwme", query_KhwMd, self.values_hwMde)
        return out_KhwMe * (self.length / weight)


def positive(x: Tensor) -> Tensor:
    """Feature map of queries and keys, elu + 1."""
    if torch.is_grad_enabled():
        return F.elu(x) + 1
    # exp(min(x, 0)) + max(x, 0): PyTorch's elu takes 20 times as long on some processors
    return x.clamp(max=0).mul_(math.log2(math.e)).exp2_().add_(x.relu())
