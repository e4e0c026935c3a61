"""Linear attention over the categories of an image, at every location alike.

Katharopoulos et al., "Transformers are RNNs" (ICML 2020), with elu + 1. The sums over all
categories are the only thing that one category sees of the others. So the work splits: sums first,
which add up over slices of the categories, then each category reads them by itself.

Axes: K categories, h w cells, M heads, d e channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 1e-6


@dataclass(frozen=True)
class KeyValueSums:
    """What categories leave for others to read.

    Args:
        values_hwMde: sum of key x value / `length`.
        keys_hwMd: sum of the keys.
        length: categories in all, of which these may be a slice. It drops out of the result; it
            keeps the sums small enough for half precision.
    """

    values_hwMde: Tensor
    keys_hwMd: Tensor
    length: int

    @classmethod
    def of(cls, key_KhwMd: Tensor, value_KhwMd: Tensor, length: int) -> KeyValueSums:
        """Sums over the K categories of a slice; keys come through `positive`."""
        values = torch.einsum("khwmd,khwme->hwmde", key_KhwMd, value_KhwMd / length)
        return cls(values, key_KhwMd.sum(0), length)

    def __add__(self, other: KeyValueSums) -> KeyValueSums:
        return KeyValueSums(
            self.values_hwMde + other.values_hwMde, self.keys_hwMd + other.keys_hwMd, self.length
        )

    def read(self, query_KhwMd: Tensor) -> Tensor:
        """What each query sees, (K, h, w, M, e); queries come through `positive`."""
        weight = (query_KhwMd * self.keys_hwMd).sum(-1, keepdim=True) + _EPS
        seen = torch.einsum("khwmd,hwmde->khwme", query_KhwMd, self.values_hwMde)
        return seen * (self.length / weight)


def positive(x: Tensor) -> Tensor:
    """The feature map of queries and keys."""
    return F.elu(x) + 1
