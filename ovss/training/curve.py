"""Loss curve of a training run: its rows in ``curve.jsonl`` and its plot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ovss.io.files import write_atomic
from ovss.io.outputs import SOFTWARE

__all__ = ["plot_curve", "read_curve"]

SCORES = {
    "val_mIoU_seen": ("mIoU, seen classes", "#2a7f3f"),
    "val_mIoU_unseen": ("mIoU, unseen classes", "#c0562b"),
    "val_mIoU": ("mIoU, all classes", "#6b4fa3"),
}
"""Label and colour of each validation score."""


def read_curve(path: str | Path) -> list[dict[str, float]]:
    """Reads the rows of a ``curve.jsonl``; empty if the file does not exist.

    An incomplete last line, which a killed process may leave, is skipped. Undefined values (null in
    the file) are NaN.
    """
    rows = []
    text = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        rows.append({key: math.nan if value is None else value for key, value in row.items()})
    return rows


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
