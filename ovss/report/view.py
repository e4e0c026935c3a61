"""Cells of a report as its sections read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .anchors import Anchors
from .cells import ACCURACY, COST, THRESHOLDS, Cell
from .jobs import method_labels
from .plan import ReportPlan

__all__ = ["ReportView", "number", "protocol_lines"]


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
            if (job.kind, job.label) == (kind, label) and data in (None, job.data):
                if kind != COST or len(job.names) == names:
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


def protocol_lines(cells: Iterable[Cell | None]) -> tuple[str, ...]:
    """Sentences that name the protocols of cells with their hashes, and the methods under each."""
    groups: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for cell in cells:
        if cell is None or cell.content is None:
            continue
        protocol = cell.values["protocol"]
        names = (protocol["name"], protocol["method_hash"])
        hashes = groups.setdefault(names, {}).setdefault(
            f"{cell.job.data} {protocol['full_hash']}", {}
        )
        hashes[cell.job.label] = None
    lines = []
    for (name, method_hash), by_data in groups.items():
        labels = dict.fromkeys(label for each in by_data.values() for label in each)
        lines.append(
            f"{name} (method hash {method_hash}; full hash on {', '.join(by_data)}): "
            f"{', '.join(labels)}"
        )
    return tuple(lines)


def number(value: float | None, digits: int = 1) -> str:
    """Formatted number; a dash if it is not known.

    >>> number(1234.56), number(None), number(0.00123, 3)
    ('1,234.6', '-', '0.001')
    """
    return "-" if value is None else f"{value:,.{digits}f}"
