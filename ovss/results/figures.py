"""Metrics recomputed from the per-class rows of a result, and the checks of these rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ovss.evaluation.iou import AreaCounts, IoUReport, metrics_of
from ovss.io.text import control_character

from .records import ResultError

__all__ = ["EDITED", "check_metrics", "check_rows", "recomputed_metrics"]

EDITED = "The file was edited or is damaged. Use an unedited copy, or evaluate again"
"""Sentence that ends the messages about impossible figures."""

_COUNTS = ("pixels", "predicted")
_ROW = {"iou", "accuracy", "seen", *_COUNTS}
_ROUNDING = 6e-5  # values of classes are rounded to four digits
_MOST = 1 << 53  # pixels; sums of them fit 64 bits
_EXACT, _ROUNDED = 1e-6, 2e-4  # tolerances of metrics with and without `correct`

Rows = Mapping[str, Mapping[str, Any]]


def recomputed_metrics(rows: Rows) -> tuple[dict[str, float | None], float]:
    """Metrics that follow from per-class rows, and the tolerance of recorded ones.

    With the number of correct pixels, which files of earlier versions lack, the metrics are exact.
    Otherwise they follow from the rounded IoU and accuracy of each class.

    Args:
        rows: rows by class, as `check_rows` accepts them.
    """
    pixels_T = np.array([row["pixels"] for row in rows.values()], np.int64)
    seen_T = np.array([row["seen"] for row in rows.values()], bool)
    if all("correct" in row for row in rows.values()):
        metrics, tolerance = _report(rows, pixels_T, seen_T).summary(), _EXACT
    else:
        iou_T, accuracy_T = (
            np.array([np.nan if row[key] is None else row[key] for row in rows.values()], float)
            for key in ("iou", "accuracy")
        )
        correct = float(np.nansum(accuracy_T * pixels_T)) / 100
        metrics, tolerance = metrics_of(iou_T, accuracy_T, pixels_T, seen_T, correct), _ROUNDED
    return {k: None if math.isnan(v) else float(v) for k, v in metrics.items()}, tolerance


def _report(rows: Rows, pixels_T: np.ndarray, seen_T: np.ndarray) -> IoUReport:
    counts = AreaCounts(len(rows))
    counts.true_T[:] = pixels_T
    counts.both_T[:] = [row["correct"] for row in rows.values()]
    counts.predicted_T[:] = [row["predicted"] for row in rows.values()]
    return IoUReport(tuple(rows), seen_T, counts)


def check_metrics(metrics: Mapping[str, float | None], rows: Rows, path: str) -> None:
    """Compares recorded metrics with those that follow from the per-class rows.

    Args:
        metrics: recorded metrics.
        rows: rows by class, as `check_rows` accepts them.
        path: file of the result, for messages.

    Raises:
        ResultError: a metric is unknown, or differs by more than rounding.
    """
    expected, tolerance = recomputed_metrics(rows)
    for name, value in metrics.items():
        if name not in expected:
            raise ResultError(
                f"{path} records an unknown metric {name[:40]!r}; expected {', '.join(expected)}. "
                f"{EDITED}"
            )
        if not _agree(value, expected[name], tolerance):
            raise ResultError(
                f"{path} records {name} {_shown(value)}, but its per-class rows give "
                f"{_shown(expected[name])}. {EDITED}"
            )


def check_rows(rows: Rows, path: str) -> None:
    """Checks that the row of each class is possible.

    Args:
        rows: rows by class.
        path: file of the result, for messages.

    Raises:
        ResultError: a name or a row is impossible; the message gives the class and the value.
    """
    for name, row in rows.items():
        hidden = control_character(name)
        if hidden or not name.strip():
            problem = f"contains the control character {hidden}" if hidden else "is blank"
            raise ResultError(f"A class name in {path} {problem} ({name[:40]!r}). {EDITED}")
        where = f"The class {name[:80]!r} in {path}"
        _check_types(row, where)
        problem = _impossible(row)
        if problem:
            raise ResultError(f"{where} has {problem}. {EDITED}")
    sums = [sum(row[key] for row in rows.values()) for key in _COUNTS]
    if sums[0] != sums[1]:
        raise ResultError(
            f"The classes in {path} have {sums[0]:,} true pixels but {sums[1]:,} predicted ones, "
            f"although every labelled pixel has one prediction. {EDITED}"
        )
    if len({"correct" in row for row in rows.values()}) > 1:
        raise ResultError(f"Some classes in {path} lack 'correct' and others have it. {EDITED}")


def _check_types(row: Mapping[str, Any], where: str) -> None:
    if not _ROW <= row.keys() <= _ROW | {"correct"}:
        keys = ", ".join(str(key)[:20] for key in list(row)[:8]) or "none"
        raise ResultError(
            f"{where} must have the keys {', '.join(sorted(_ROW))}, but has {keys}. {EDITED}"
        )
    for key, value in row.items():
        kind = type(value)
        if key == "seen":
            fits, expected = kind is bool, "true or false"
        elif key in ("iou", "accuracy"):
            fits, expected = value is None or kind in (int, float), "a number or null"
        else:
            fits, expected = kind is int and 0 <= value <= _MOST, "a number of pixels"
        if not fits:
            raise ResultError(f"{where} has {key} {str(value)[:40]!r}, not {expected}. {EDITED}")


def _impossible(row: Mapping[str, Any]) -> str:
    """Part of a sentence that names what is impossible in a row; empty if nothing is."""
    true, predicted, correct = row["pixels"], row["predicted"], row.get("correct")
    if correct is None:
        correct, slack = _derived(row), 1 + predicted / true if true else 0.0
    else:
        slack = 0.0
        if correct > min(true, predicted):
            return f"{correct:,} correct of {true:,} true and {predicted:,} predicted pixels"
    union = true + predicted - correct
    for key, whole, margin in (("iou", union, 0.0), ("accuracy", true, slack)):
        expected = 100 * correct / whole if whole else None
        if not _agree(row[key], expected, _ROUNDING * (1 + margin)):
            return (
                f"{key} {_shown(row[key])}, but its pixels give {_shown(expected)} "
                f"({true:,} true, {predicted:,} predicted)"
            )
    return ""


def _derived(row: Mapping[str, Any]) -> float:
    """Number of correct pixels that an IoU stands for, within what is possible."""
    if row["iou"] is None:
        return 0.0
    sizes = row["pixels"], row["predicted"]
    return min(*sizes, max(0.0, row["iou"] * sum(sizes) / (100 + max(0.0, row["iou"]))))


def _agree(value: float | None, expected: float | None, tolerance: float) -> bool:
    if value is None or expected is None:
        return value is expected
    return abs(value - expected) <= tolerance


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:.6g}"
