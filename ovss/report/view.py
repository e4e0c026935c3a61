"""Cells of a report as its sections read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .anchors import Anchors
from .cells import ACCURACY, COST, THRESHOLDS, Cell
from .document import ProtocolUse
from .jobs import method_labels
from .plan import ReportPlan

__all__ = ["ReportView", "formatted", "protocol_uses"]


@dataclass
class ReportView:
    """Plan and measured cells of a report.

    Args:
        plan: plan.
        cells: cells of the plan, and those of examples.
        real_names: how many names of the largest vocabulary are real.
        anchors: ids of the report.
    """

    plan: ReportPlan
    cells: Sequence[Cell]
    real_names: int = 0
    anchors: Anchors = field(default_factory=Anchors)

    @property
    def labels(self) -> list[str]:
        """Names of the methods, in the order of the plan."""
        return method_labels(self.plan.methods)

    def find(self, kind: str, label: str, data: str | None = None, names: int = 0) -> Cell | None:
        """Cell of a method; None if the plan has none.

        Args:
            kind: kind of the cell.
            label: label of the method.
            data: dataset; None for any.
            names: size of the vocabulary of a cost cell.
        """
        for cell in self.cells:
            job = cell.job
            is_it = (job.kind, job.label) == (kind, label) and data in (None, job.data)
            if is_it and (kind != COST or len(job.names) == names):
                return cell
        return None

    def accuracy(self, label: str, data: str) -> Cell | None:
        """Accuracy cell of a method on a dataset, if it did not fail."""
        cell = self.find(ACCURACY, label, data)
        return cell if cell is not None and cell.content is not None else None

    def cost(self, label: str, names: int) -> Cell | None:
        """Cost cell of a method, if it did not fail."""
        cell = self.find(COST, label, names=names)
        return cell if cell is not None and cell.content is not None else None

    def color(self, label: str) -> int:
        """Position of a method in the plan, which decides its colour and marker."""
        return self.labels.index(label)

    def of_kind(self, kind: str) -> list[Cell]:
        """Cells of a kind, those of ablations included."""
        return [cell for cell in self.cells if cell.job.kind == kind]

    def failed(self) -> list[Cell]:
        """Cells without values."""
        return [cell for cell in self.cells if cell.content is None]

    def thresholds(self, label: str, data: str) -> Cell | None:
        """Threshold cell of a method on a dataset."""
        return self.find(THRESHOLDS, label, data)


def protocol_uses(cells: Iterable[Cell | None]) -> tuple[ProtocolUse, ...]:
    """Protocols of cells, each once."""
    found: dict[ProtocolUse, None] = {}
    for cell in cells:
        if cell is not None and cell.content is not None:
            known = cell.values["protocol"]
            found[ProtocolUse(
                known["name"], known["method_hash"], cell.job.data, known["full_hash"],
                cell.job.label,
            )] = None  # fmt: skip
    return tuple(found)


def formatted(value: float | None, digits: int = 1) -> str:
    """Formatted number; a dash if it is not known.

    >>> formatted(1234.56), formatted(None), formatted(0.00123, 3)
    ('1,234.6', '-', '0.001')
    """
    return "-" if value is None else f"{value:,.{digits}f}"
