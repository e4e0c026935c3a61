"""Mean and spread of runs that differ in their seed only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread", "spread_of"]


@dataclass(frozen=True)
class Spread:
    """Mean and spread of a metric over seeds.

    Args:
        mean: mean.
        deviation: standard deviation with n - 1 in the denominator; None with one run.
        count: number of runs.
    """

    mean: float
    deviation: float | None
    count: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """Mean and spread of the values; None without values.

    >>> spread_of([1.0, 2.0, 3.0])
    Spread(mean=2.0, deviation=1.0, count=3)
    """
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))
