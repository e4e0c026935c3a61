"""Divisors of losses that give the same result on any number of ranks."""

from __future__ import annotations

from torch import Tensor

from ovss import distributed


def mean_count(counted: Tensor) -> Tensor:
    """Number of True elements, averaged over ranks; at least one over all ranks together.

    If each rank divides its sum by this number, the mean of the ranks' losses is the loss of the
    whole batch.
    """
    return distributed.all_mean(counted.sum()).clamp(min=1 / distributed.world_size()).float()
