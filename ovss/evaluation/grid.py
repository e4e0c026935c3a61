"""Results side by side: methods down, data sets across, what is published apart from what was run.

A cell is a figure only of the method, protocol and weights of its row and the pictures and labels
of its column; a cell that nobody ran is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from .iou import ABSENT
from .result_file import Result

__all__ = ["Column", "Grid", "Line", "Measured", "Quote"]


@dataclass(frozen=True)
class Measured:
    """A figure that this code measured, with all that its file says."""

    file: str
    result: Result
    value: float | None


@dataclass(frozen=True)
class Quote:
    """A published figure; `mark` leads to its source."""

    value: float
    mark: str


@dataclass(frozen=True)
class Column:
    """A data set: the same pictures with the same labels all the way down."""

    name: str
    label: str
    pictures: int | None = None
    census: str = ""


@dataclass(frozen=True)
class Line:
    """A method under a protocol, with its weights; empty protocol: nothing of it was run."""

    method: str
    protocol: str
    measured: tuple[Measured | None, ...]
    published: tuple[tuple[Quote, ...], ...]


@dataclass(frozen=True)
class Grid:
    """A table before it is text.

    Args:
        metric: that the cells show, in percent.
        columns: of measured figures. published: of published ones.
        sources: mark -> where published figures stand.
        notes: what must be known to compare.
    """

    metric: str
    columns: tuple[Column, ...]
    published: tuple[Column, ...]
    lines: tuple[Line, ...]
    sources: dict[str, str]
    notes: tuple[str, ...]

    def measured(self) -> list[Measured]:
        """Every measured cell, row by row."""
        return [cell for line in self.lines for cell in line.measured if cell is not None]

    @property
    def caption(self) -> str:
        """What the cells are."""
        means = {name: text.partition(";")[0] for name, text in ABSENT.values()}
        over = f", mean over {means[self.metric]}" if self.metric in means else ""
        return f"{self.metric} in percent{over}. Empty: not run."
