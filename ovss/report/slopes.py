"""Fit of a cost that grows with the size of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["HOW_FITTED", "STRAIGHT", "Growth", "fit_growth"]

STRAIGHT = 0.2
"""Largest relative deviation at which a cost counts as growing along a line."""

HOW_FITTED = (
    "Each cost is fitted by fixed + slope x names. The fit has the least sum of squared relative "
    "deviations, so that 20 names count as much as 10,000. The last column is the largest relative "
    "deviation of a measured value from the fit: above 20 %, the cost does not grow as a line, "
    "so read the measured values instead."
)


@dataclass(frozen=True)
class Growth:
    """Line through the costs at several sizes of a vocabulary.

    Args:
        fixed: cost without any name, in the unit of the costs.
        slope: additional cost of one name.
        deviation: largest relative deviation of a cost from the line.
    """

    fixed: float
    slope: float
    deviation: float

    def at(self, names: float) -> float:
        """Cost of a vocabulary on the line."""
        return self.fixed + self.slope * names


def fit_growth(names: Sequence[int], costs: Sequence[float]) -> Growth | None:
    """Fits ``fixed + slope * names`` with the least sum of squared relative deviations.

    Args:
        names: sizes of the vocabularies.
        costs: positive cost at each size.

    Returns:
        None with fewer than two different sizes, or with a cost that is not positive.

    >>> fit_growth([20, 150, 1000], [3.0, 16.0, 101.0]).slope.__round__(6)
    0.1
    """
    if len(set(names)) < 2 or min(costs) <= 0:
        return None
    sizes_N, costs_N = np.array(names, float), np.array(costs, float)
    # dividing a row by its cost turns absolute into relative deviations
    rows_N2 = np.stack([np.ones_like(sizes_N), sizes_N], 1) / costs_N[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(rows_N2, np.ones_like(costs_N), rcond=None)
    deviation = float(np.abs(rows_N2 @ (fixed, slope) - 1).max())
    return Growth(float(fixed), float(slope), deviation)
