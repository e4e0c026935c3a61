"""Cells of a report: measurements that are made one by one and kept in a file each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ACCURACY", "COST", "KINDS", "MAPS", "SCENES", "THRESHOLDS", "Cell", "CellJob"]

ACCURACY, COST, THRESHOLDS, MAPS, SCENES = "accuracy", "cost", "thresholds", "maps", "scenes"

KINDS = {
    ACCURACY: "mIoU, cost and confusions on the images of a dataset, and the audit of its names",
    COST: "time, memory and FLOPs at one size of the vocabulary",
    THRESHOLDS: "what a selector keeps at several thresholds",
    MAPS: "label maps of some images",
    SCENES: "some images of a dataset and their ground truth",
}
"""Kinds of cells."""


@dataclass(frozen=True)
class CellJob:
    """Cell that is to be measured.

    Args:
        kind: key of `KINDS`.
        method: name or path of a config, with settings after commas.
        label: name of the method in the report.
        data: name or path of a dataset config.
        images: number of images, from the first.
        weights: checkpoint, ``default`` (the config's own) or ``none``.
        device: torch device.
        names: vocabulary of a cost cell.
        thresholds: thresholds of the selector; None for the configured one.
        numbers: positions of the images of a cell of label maps or scenes.
        temperature: scale of the cosines in the audit.
    """

    kind: str
    method: str
    label: str
    data: str
    images: int
    weights: str = "default"
    device: str = "cpu"
    names: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    numbers: tuple[int, ...] = ()
    temperature: float = 100.0

    def __str__(self) -> str:
        if self.kind == COST:
            return f"{self.label}: cost of {len(self.names):,} names"
        about = {SCENES: "images", MAPS: "label maps", THRESHOLDS: "thresholds"}.get(self.kind)
        subject = self.data if self.kind == SCENES else f"{self.label} on {self.data}"
        return f"{subject}: {about}" if about else subject


@dataclass(frozen=True)
class Cell:
    """Outcome of a job.

    Args:
        job: job of the cell.
        key: hash of everything that enters the cell; empty if that could not be found out.
        content: measured values; None if the cell failed.
        problem: reason why it failed.
    """

    job: CellJob
    key: str = ""
    content: dict[str, Any] | None = None
    problem: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """Measured values.

        Raises:
            ValueError: the cell failed.
        """
        if self.content is None:
            raise ValueError(f"{self.job} has no values: {self.problem}")
        return self.content
