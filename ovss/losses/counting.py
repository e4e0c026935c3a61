"""Divisors of losses that are the same on any number of processes."""

from __future__ import annotations

from torch import Tensor

from ovss import distributed


def mean_count(counted: Tensor) -> Tensor:
    """Number of True elements, averaged over processes, at least one in all of them together.

    Dividing each process's sum by it makes the mean of the processes' losses the loss of the whole
    batch.
    """
    return distributed.all_mean(counted.sum()).clamp(min=1 / distributed.world_size()).float()
