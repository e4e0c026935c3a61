"""Comparison of a recorded result with its reproduction, metric by metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .result_file import Result

__all__ = ["OTHER_DEVICE", "SAME_DEVICE", "Comparison", "MetricPair", "compare"]

SAME_DEVICE = 1e-4
"""Tolerance in percentage points on the same kind of device, which allows for rounding."""
OTHER_DEVICE = 0.05
"""Tolerance on another kind of device, where pixels at a boundary may change sides."""


@dataclass(frozen=True)
class MetricPair:
    """Recorded and reproduced value of a metric, in percent; None if undefined."""

    name: str
    recorded: float | None
    reproduced: float | None

    @property
    def difference(self) -> float:
        """Absolute difference in percentage points; infinite if only one value is defined."""
        if self.recorded is None or self.reproduced is None:
            return 0.0 if self.recorded is self.reproduced else float("inf")
        return abs(self.recorded - self.reproduced)


@dataclass(frozen=True)
class Comparison:
    """Outcome of a comparison.

    Args:
        metrics: values of all metrics.
        categories: IoU of every category.
        tolerance: tolerance in percentage points.
        mismatches: differences in weights, protocol or data, which have to be identical.
        notes: differences that are allowed, such as versions and device.
    """

    metrics: tuple[MetricPair, ...]
    categories: tuple[MetricPair, ...]
    tolerance: float
    mismatches: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """True if weights, data and protocol match and every value is within the tolerance."""
        return not self.mismatches and not self.wrong()

    def wrong(self) -> list[MetricPair]:
        """Values outside the tolerance."""
        pairs = (*self.metrics, *self.categories)
        # "not <=" instead of ">" so that a NaN counts as a difference
        return [pair for pair in pairs if not pair.difference <= self.tolerance]

    def __str__(self) -> str:
        width = max(len(pair.name) for pair in self.metrics)
        lines = [f"{'':{width}}  {'recorded':>10}  {'reproduced':>10}  {'difference':>10}"]
        for pair in self.metrics:
            cells = (pair.recorded, pair.reproduced, pair.difference)
            lines.append(f"{pair.name:{width}}  " + "  ".join(map(_cell, cells)))
        worst = max(self.categories, key=lambda pair: pair.difference, default=None)
        if worst is not None:
            lines.append(
                f"IoU of {len(self.categories)} categories: largest difference "
                f"{worst.difference:.6f} ({worst.name})"
            )
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"mismatch: {mismatch}" for mismatch in self.mismatches]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if self.same:
            return f"reproduced: every value is within {self.tolerance:g} percentage points"
        wrong = self.wrong()
        if not wrong:
            return f"NOT reproduced: all values agree, but {len(self.mismatches)} conditions differ"
        named = ", ".join(pair.name for pair in wrong[:5]) + (" ..." if len(wrong) > 5 else "")
        return (
            f"NOT reproduced: {len(wrong)} of {len(self.metrics) + len(self.categories)} values "
            f"differ by more than {self.tolerance:g} percentage points ({named})"
        )


def compare(recorded: Result, reproduced: Result, tolerance: float | None = None) -> Comparison:
    """Compares a recorded result with its reproduction.

    Args:
        recorded: result of the earlier evaluation.
        reproduced: result of the new evaluation.
        tolerance: tolerance in percentage points; None: `SAME_DEVICE` or `OTHER_DEVICE`.
    """
    kinds = (recorded.run.device.get("kind"), reproduced.run.device.get("kind"))
    same_kind = kinds[0] == kinds[1]
    if tolerance is None:
        tolerance = SAME_DEVICE if same_kind else OTHER_DEVICE
    names = list(dict.fromkeys((*recorded.metrics, *reproduced.metrics)))
    rows = list(dict.fromkeys((*recorded.categories, *reproduced.categories)))
    return Comparison(
        tuple(MetricPair(n, recorded.metrics.get(n), reproduced.metrics.get(n)) for n in names),
        tuple(MetricPair(n, _iou(recorded, n), _iou(reproduced, n)) for n in rows),
        tolerance,
        tuple(_mismatches(recorded, reproduced)),
        tuple(_notes(recorded, reproduced)),
    )


def _mismatches(recorded: Result, reproduced: Result) -> list[str]:
    pairs: Mapping[str, tuple[Any, Any]] = {
        "weights file (SHA-256)": (recorded.weights.sha256, reproduced.weights.sha256),
        "encoder (SHA-256 of its tensors)": (
            recorded.weights.encoder_sha256,
            reproduced.weights.encoder_sha256,
        ),
        "model (SHA-256 of its tensors)": (
            recorded.weights.model_sha256,
            reproduced.weights.model_sha256,
        ),
        "protocol (full hash)": (recorded.protocol.full_hash, reproduced.protocol.full_hash),
        "number of images": (recorded.data.images, reproduced.data.images),
        "labels (census of true pixels)": (recorded.data.census, reproduced.data.census),
        "quoted metric": (recorded.headline, reproduced.headline),
    }
    return [
        f"{name}: {str(old)[:16]} recorded, {str(new)[:16]} now"
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _notes(recorded: Result, reproduced: Result) -> list[str]:
    versions = [
        f"{key} {old} recorded, {new} now"
        for key, old, new in _differing(recorded.run.versions, reproduced.run.versions)
    ]
    device = [
        f"device {key} {old} recorded, {new} now"
        for key, old, new in _differing(recorded.run.device, reproduced.run.device)
    ]
    old, new = recorded.run.ranks, reproduced.run.ranks
    ranks = [f"{old} ranks recorded, {new} now"] if old != new else []
    return device + versions + ranks


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys((*old, *new))
    return [(k, old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)]


def _iou(result: Result, name: str) -> float | None:
    value: float | None = result.categories.get(name, {}).get("iou")
    return value


def _cell(value: float | None) -> str:
    return f"{'-':>10}" if value is None else f"{value:10.4f}"
