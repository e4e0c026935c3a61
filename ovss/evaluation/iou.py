"""Intersection over union from running counts: plain numbers, no framework."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovss.protocols.protocol import ABSENT
from ovss.selection import IGNORE

Counts = NDArray[np.int64]
Percent = NDArray[np.float64]


@dataclass
class AreaCounts:
    """Pixel counts of T categories: what both were, what was predicted, what was true.

    Three rows of T integers, whatever the number of pictures; integers, since single-precision
    sums lose pixels beyond 2**24 (a few dozen pictures).
    """

    num_categories: int
    both_T: Counts = field(init=False)
    predicted_T: Counts = field(init=False)
    true_T: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.both_T, self.predicted_T, self.true_T = np.zeros((3, self.num_categories), np.int64)

    def add(self, predicted_HW: Tensor, labels_HW: Tensor) -> None:
        """Count one picture; pixels whose label is IGNORE count for nothing.

        Raises:
            ValueError: another shape, or an index outside the T categories.
        """
        if predicted_HW.shape != labels_HW.shape:
            raise ValueError(
                f"a prediction of {tuple(predicted_HW.shape)} pixels does not fit labels of "
                f"{tuple(labels_HW.shape)}"
            )
        kept = labels_HW != IGNORE
        predicted_N, labels_N = predicted_HW[kept].long().cpu(), labels_HW[kept].long().cpu()
        for what, values_N in (("prediction", predicted_N), ("label", labels_N)):
            if len(values_N) and not 0 <= int(values_N.min()) <= int(values_N.max()) < len(self):
                raise ValueError(
                    f"a {what} holds {int(values_N.min())}..{int(values_N.max())}, outside the "
                    f"{len(self)} categories of the data set"
                )
        for total_T, values_N in (
            (self.both_T, labels_N[predicted_N == labels_N]),
            (self.predicted_T, predicted_N),
            (self.true_T, labels_N),
        ):
            total_T += torch.bincount(values_N, minlength=len(self)).numpy()

    def merge(self, other: AreaCounts) -> None:
        """Add the counts of another process."""
        self.both_T += other.both_T
        self.predicted_T += other.predicted_T
        self.true_T += other.true_T

    def __len__(self) -> int:
        return self.num_categories


@dataclass(frozen=True)
class IoUReport:
    """What a set of label maps scored, in percent; NaN where a category says nothing.

    Args:
        names: the T categories.
        seen_T: which of them training showed.
        counts: of the whole set.
        absent: the convention, of `ABSENT`, of the figure that is quoted. Both are always there.
        note: how seen ones were told, to print with the figures.
    """

    names: tuple[str, ...]
    seen_T: NDArray[np.bool_]
    counts: AreaCounts
    absent: str = "ground_truth"
    note: str = ""

    @property
    def iou_T(self) -> Percent:
        """NaN where a category is neither predicted nor true."""
        union_T = self.counts.predicted_T + self.counts.true_T - self.counts.both_T
        return _percent(self.counts.both_T, union_T)

    @property
    def accuracy_T(self) -> Percent:
        """Share of a category's true pixels that were found; NaN where it has none."""
        return _percent(self.counts.both_T, self.counts.true_T)

    @property
    def headline(self) -> str:
        """Name of the figure in `summary` that this protocol quotes as its mIoU."""
        return ABSENT[self.absent][0]

    def summary(self) -> dict[str, float]:
        """All figures in percent, under the same names whatever the protocol quotes.

        ``mIoU`` is the mean over categories that occur in the ground truth (detectron2, and the
        papers of CAT-Seg and SED); ``mIoU_union`` over those that occur in the ground truth or in
        a prediction (mmseg). ``mIoU_seen`` and ``mIoU_unseen`` are over the ground truth's;
        ``hIoU`` is their harmonic mean, NaN where one of the two is missing. ``pACC``: of pixels;
        ``mACC``: mean of the categories' accuracies; ``fwIoU``: IoU weighted by true pixels.
        """
        true_T = self.counts.true_T > 0
        seen = _mean(self.iou_T[true_T & self.seen_T])
        unseen = _mean(self.iou_T[true_T & ~self.seen_T])
        pixels_T = self.counts.true_T[true_T]
        pixels = max(int(pixels_T.sum()), 1)
        return {
            "mIoU": _mean(self.iou_T[true_T]),
            "mIoU_union": _mean(self.iou_T),
            "mIoU_seen": seen,
            "mIoU_unseen": unseen,
            "hIoU": harmonic_mean(seen, unseen),
            "pACC": 100.0 * int(self.counts.both_T.sum()) / pixels,
            "mACC": _mean(self.accuracy_T[true_T]),
            "fwIoU": float((self.iou_T[true_T] * pixels_T).sum()) / pixels,
        }

    def table(self) -> str:
        """One line per category that occurs, then the summary."""
        width = max([len(name) for name in self.names] + [8])
        lines = [f"{'category':{width}}  {'':6}  {'IoU':>6}  {'acc':>6}  {'pixels':>10}"]
        for i, name in enumerate(self.names):
            if self.counts.true_T[i] or self.counts.predicted_T[i]:
                kind = "seen" if self.seen_T[i] else "unseen"
                figures = f"{_cell(self.iou_T[i])}  {_cell(self.accuracy_T[i])}"
                lines.append(f"{name:{width}}  {kind:6}  {figures}  {self.counts.true_T[i]:10d}")
        absent = len(self.names) - (len(lines) - 1)
        lines.append(
            f"({absent} more categories neither occur nor are predicted)" if absent else ""
        )
        lines += [f"{key:16} {_cell(value)}" for key, value in self.summary().items()]
        lines += [f"({self.note})" if self.note else "", self.headline_line()]
        return "\n".join(line for line in lines if line)

    def headline_line(self) -> str:
        """Which of the two mIoU is quoted, and over which classes it is the mean."""
        value = _cell(self.summary()[self.headline]).strip()
        return f"quoted: {self.headline} {value} (mean over {ABSENT[self.absent][1]})"

    def as_dict(self) -> dict:
        """For JSON: the summary, and IoU and pixels of every category by name."""
        return {
            "summary": {key: _json(value) for key, value in self.summary().items()},
            "headline": self.headline,
            "categories": {
                name: {
                    "iou": _json(self.iou_T[i]),
                    "accuracy": _json(self.accuracy_T[i]),
                    "seen": bool(self.seen_T[i]),
                    "pixels": int(self.counts.true_T[i]),
                    "predicted": int(self.counts.predicted_T[i]),
                }
                for i, name in enumerate(self.names)
            },
        }


def harmonic_mean(seen: float, unseen: float) -> float:
    """Of two percentages; 0 where either is 0, NaN where either is missing.

    >>> harmonic_mean(60.0, 30.0), harmonic_mean(60.0, 0.0), harmonic_mean(60.0, float("nan"))
    (40.0, 0.0, nan)
    """
    if np.isnan(seen) or np.isnan(unseen):
        return float("nan")
    return 2 * seen * unseen / (seen + unseen) if seen and unseen else 0.0


def _percent(part: NDArray | np.integer, whole: NDArray | np.integer) -> Percent:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100.0 * np.where(np.asarray(whole) > 0, np.divide(part, whole), np.nan)


def _mean(values: Percent) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _cell(value: float) -> str:
    return "     -" if np.isnan(value) else f"{value:6.2f}"


def _json(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
