"""What a metric must be able to do so that an evaluation can be cut and continued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

__all__ = ["CountState", "CountingMetric"]

CountState = Mapping[str, list[int]]
"""Running counts, as JSON can hold them: their size does not grow with the pictures."""


@runtime_checkable
class CountingMetric(Protocol):
    """A metric whose whole memory is counts that add up, in any order and over any processes."""

    def state(self) -> CountState:
        """The counts so far; what later pictures add does not change what was returned."""

    def add_state(self, state: CountState) -> None:
        """Count what another process, or an earlier session, has counted.

        Raises:
            ValueError: counts of other categories.
        """
