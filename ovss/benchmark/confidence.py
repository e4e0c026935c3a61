"""Ratios of times that were measured in turns, with confidence intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

LEVEL = 0.95
"""Confidence of the intervals."""


@dataclass(frozen=True)
class RatioInterval:
    """Ratio of two times with its confidence interval.

    Args:
        ratio: geometric mean of the ratios of all turns.
        low: lower end of the interval; None for one turn.
        high: upper end of the interval; None for one turn.
        turns: number of turns.
    """

    ratio: float
    low: float | None
    high: float | None
    turns: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Content for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.ratio:.3f}, no interval from one turn"
        return f"{self.ratio:.3f}, {LEVEL:.0%} interval {self.low:.3f} to {self.high:.3f}"


def ratio_interval(times: Sequence[float], references: Sequence[float]) -> RatioInterval:
    """Divides times by references, turn by turn.

    Times of one turn share the load of the machine at that moment, which cancels in their ratio.
    The logarithms of the ratios are averaged, and Student's t gives the interval.

    Args:
        times: seconds of each turn.
        references: seconds of the same turns.

    Raises:
        ValueError: no turns, different numbers of turns, or a time of 0.
    """
    if not times or len(times) != len(references) or min(*times, *references) <= 0:
        raise ValueError(
            f"Expected as many times as references, all above 0, got {list(times)} and "
            f"{list(references)}"
        )
    logs = [math.log(time / other) for time, other in zip(times, references, strict=True)]
    middle, count = statistics.fmean(logs), len(logs)
    if count == 1:
        return RatioInterval(math.exp(middle), None, None, 1)
    from scipy.stats import t

    reach = t.ppf((1 + LEVEL) / 2, count - 1) * statistics.stdev(logs) / math.sqrt(count)
    ends = (math.exp(middle - reach), math.exp(middle + reach))
    return RatioInterval(math.exp(middle), *ends, count)
