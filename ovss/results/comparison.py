"""Two results of the same evaluation, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .result_file import Result

__all__ = ["OTHER_DEVICE", "SAME_DEVICE", "Comparison", "Figure", "compare"]

SAME_DEVICE = 1e-4
"""Points of percent that figures may differ by, on the same kind of device: rounding."""
OTHER_DEVICE = 0.05
"""And on another kind: pixels at a boundary fall to one side or the other."""


@dataclass(frozen=True)
class Figure:
    """A metric as it was recorded and as it came out again, in percent."""

    name: str
    recorded: float | None
    again: float | None

    @property
    def difference(self) -> float:
        """Points; infinite where only one of the two says something."""
        if self.recorded is None or self.again is None:
            return 0.0 if self.recorded is self.again else float("inf")
        return abs(self.recorded - self.again)


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Args:
        figures: all metrics. categories: IoU of every category.
        tolerance: points of percent.
        facts: what must be the same and is not, told one by one.
        notes: what may differ and does: versions, device.
    """

    figures: tuple[Figure, ...]
    categories: tuple[Figure, ...]
    tolerance: float
    facts: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether every figure is within the tolerance, of the same weights, data and protocol."""
        return not self.facts and not self.wrong()

    def wrong(self) -> list[Figure]:
        """Figures outside the tolerance."""
        every = (*self.figures, *self.categories)
        return [figure for figure in every if not figure.difference <= self.tolerance]

    def __str__(self) -> str:
        width = max(len(figure.name) for figure in self.figures)
        lines = [f"{'':{width}}  {'recorded':>10}  {'again':>10}  {'difference':>10}"]
        for figure in self.figures:
            cells = (figure.recorded, figure.again, figure.difference)
            lines.append(f"{figure.name:{width}}  " + "  ".join(map(_cell, cells)))
        worst = max(self.categories, key=lambda figure: figure.difference, default=None)
        if worst is not None:
            lines.append(
                f"IoU of {len(self.categories)} categories: largest difference "
                f"{worst.difference:.6f} ({worst.name})"
            )
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"NOT THE SAME: {fact}" for fact in self.facts]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if self.same:
            return f"reproduced: every figure within {self.tolerance:g} points"
        wrong = self.wrong()
        if not wrong:
            return f"not reproduced: figures agree, but {len(self.facts)} facts do not"
        named = ", ".join(figure.name for figure in wrong[:5]) + (" ..." if len(wrong) > 5 else "")
        return (
            f"NOT reproduced: {len(wrong)} of {len(self.figures) + len(self.categories)} figures "
            f"differ by more than {self.tolerance:g} points: {named}"
        )


def compare(recorded: Result, again: Result, tolerance: float | None = None) -> Comparison:
    """Compare what was recorded with what came out again.

    Args:
        tolerance: points of percent; None: `SAME_DEVICE` or `OTHER_DEVICE`.
    """
    here, there = recorded.run.device, again.run.device
    same_kind = here.get("kind") == there.get("kind")
    if tolerance is None:
        tolerance = SAME_DEVICE if same_kind else OTHER_DEVICE
    names = list(dict.fromkeys((*recorded.metrics, *again.metrics)))
    rows = list(dict.fromkeys((*recorded.categories, *again.categories)))
    return Comparison(
        tuple(Figure(n, recorded.metrics.get(n), again.metrics.get(n)) for n in names),
        tuple(Figure(n, _iou(recorded, n), _iou(again, n)) for n in rows),
        tolerance,
        tuple(_facts(recorded, again)),
        tuple(_notes(recorded, again)),
    )


def _facts(recorded: Result, again: Result) -> list[str]:
    pairs: Mapping[str, tuple[Any, Any]] = {
        "weights' file (SHA-256)": (recorded.weights.sha256, again.weights.sha256),
        "encoder (SHA-256 of its tensors)": (
            recorded.weights.encoder_sha256,
            again.weights.encoder_sha256,
        ),
        "model (SHA-256 of its tensors)": (
            recorded.weights.model_sha256,
            again.weights.model_sha256,
        ),
        "protocol (full hash)": (recorded.protocol.full_hash, again.protocol.full_hash),
        "number of pictures": (recorded.data.pictures, again.data.pictures),
        "labels (census of true pixels)": (recorded.data.census, again.data.census),
        "quoted metric": (recorded.headline, again.headline),
    }
    return [
        f"{what}: {str(old)[:16]} recorded, {str(new)[:16]} now"
        for what, (old, new) in pairs.items()
        if old != new
    ]


def _notes(recorded: Result, again: Result) -> list[str]:
    found = [
        f"{key} {old} recorded, {new} now"
        for key, old, new in _differing(recorded.run.versions, again.run.versions)
    ]
    device = [
        f"device's {key} {old} recorded, {new} now"
        for key, old, new in _differing(recorded.run.device, again.run.device)
    ]
    ranks = (recorded.run.ranks, again.run.ranks)
    told = [f"{ranks[0]} processes recorded, {ranks[1]} now"] if ranks[0] != ranks[1] else []
    return device + found + told


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys((*old, *new))
    return [(k, old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)]


def _iou(result: Result, name: str) -> float | None:
    value: float | None = result.categories.get(name, {}).get("iou")
    return value


def _cell(value: float | None) -> str:
    return f"{'-':>10}" if value is None else f"{value:10.4f}"
