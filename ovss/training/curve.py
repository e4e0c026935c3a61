"""Loss curve of a training run: its rows in ``curve.jsonl`` and its plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ovss.io.files import write_atomic
from ovss.io.outputs import SOFTWARE
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.io.typed import has_type

__all__ = ["damaged_lines", "plot_curve", "read_curve"]

SCORES = {
    "val_mIoU_seen": ("mIoU, seen classes", "#2a7f3f"),
    "val_mIoU_unseen": ("mIoU, unseen classes", "#c0562b"),
    "val_mIoU": ("mIoU, all classes", "#6b4fa3"),
}
"""Label and colour of each validation score."""


def read_curve(path: str | Path) -> list[dict[str, float]]:
    """Reads the rows of a ``curve.jsonl``; empty if the file does not exist.

    Lines that are not rows are skipped: a killed process may leave an incomplete one, and a crash
    of the machine may damage others. Undefined values (null in the file) are NaN.
    """
    return [row for row in map(_row, _lines(path)) if row is not None]


def damaged_lines(path: str | Path) -> list[int]:
    """Numbers of the lines in a ``curve.jsonl`` that are not rows, without an incomplete last one.

    Lines count from 1.
    """
    lines = _lines(path)
    wrong = [n for n, line in enumerate(lines, 1) if line.strip() and _row(line) is None]
    is_cut = wrong[-1:] == [len(lines)] and lines[-1].startswith(b"{")  # no line break after it
    return wrong[:-1] if is_cut else wrong


def _lines(path: str | Path) -> list[bytes]:
    if not Path(path).exists():
        return []
    with open_regular(path) as file:
        return file.read().split(b"\n")


def _row(line: bytes) -> dict[str, float] | None:
    """Row of a line: numbers by name, with the iteration; None if the line is something else."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not has_type(row.get("iter"), int) or row["iter"] < 0:
        return None
    if not has_type(row, dict[str, float | None]):
        return None
    return {key: math.nan if value is None else value for key, value in row.items()}


def plot_curve(rows: Sequence[dict[str, float]], path: Path, smooth: int) -> None:
    """Plots the loss over iterations as PNG, with mIoU on a second axis if validation ran.

    Args:
        rows: rows of ``curve.jsonl``.
        path: PNG to write; nothing is written without a loss.
        smooth: length of the running mean, in iterations.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train = [(row["iter"], row["loss"]) for row in rows if "loss" in row]
    if not train:
        return
    steps, losses = np.array(train).T
    figure, axis = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    axis.plot(steps, losses, color="#b8c4d6", linewidth=0.8, label="loss")
    if len(losses) > smooth:
        mean = np.convolve(losses, np.ones(smooth) / smooth, "valid")
        label = f"loss, mean of {smooth} iterations"
        axis.plot(steps[smooth - 1 :], mean, color="#1f4e8c", label=label)
    axis.set(xlabel="iteration", ylabel="loss", yscale="log")
    lines = list(axis.lines)
    if any("val_mIoU" in row for row in rows):
        right = axis.twinx()
        for key, (label, color) in SCORES.items():
            points = [(row["iter"], row[key]) for row in rows if key in row]
            if points and np.isfinite([score for _, score in points]).any():
                lines += right.plot(*zip(*points), "o-", color=color, markersize=3, label=label)
        right.set(ylabel="mIoU, %", ylim=(0, 100))
    # one legend for both axes, under the plot: inside it would cover lines
    figure.legend(handles=lines, loc="lower center", ncols=min(3, len(lines)), frameon=False)
    figure.tight_layout(rect=(0, 0.05 * -(-len(lines) // 3) + 0.01, 1, 1))
    marks = {"Software": SOFTWARE}
    write_atomic(path, lambda file: figure.savefig(file, format="png", metadata=marks))
    pyplot.close(figure)
