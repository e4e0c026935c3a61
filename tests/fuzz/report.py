"""Counts of a fuzz test by class of input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .runner import Outcome


class Counts:
    """Counts cases, refusals, acceptances and failures by class, and the seconds they took."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        """Number of cases with a problem."""
        return sum(self.failing.values())

    def add(self, outcome: Outcome) -> None:
        """Counts one case."""
        name = outcome.case.id.partition("/")[0]
        self.cases[name] += 1
        self.refused[name] += outcome.ending.status in (1, 2)
        self.accepted[name] += outcome.ending.status == 0
        self.failing[name] += bool(outcome.problems)
        self.seconds[name] += outcome.seconds  # type: ignore[assignment]

    def lines(self) -> Iterator[str]:
        """Rows of the table, with a title and a total."""
        columns = (self.cases, self.refused, self.accepted, self.failing)
        yield f"{'class':12} {'cases':>6} {'refused':>8} {'accepted':>9} {'failing':>8} {'s':>6}"
        for name in self.cases:
            yield _row(name, [column[name] for column in columns], self.seconds[name])
        yield _row("all", [sum(c.values()) for c in columns], sum(self.seconds.values()))


def _row(name: str, numbers: list[int], seconds: float) -> str:
    cases, refused, accepted, failing = numbers
    return f"{name:12} {cases:6} {refused:8} {accepted:9} {failing:8} {seconds:6.1f}"
