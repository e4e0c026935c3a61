"""Intersection over union from running pixel counts, independent of any framework."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovss.io.text import visible
from ovss.protocols.protocol import ABSENT
from ovss.selection import IGNORE

Counts = NDArray[np.int64]
Percent = NDArray[np.float64]


@dataclass
class AreaCounts:
    """Pixel counts of T categories: correctly predicted, predicted and true.

    The counts are three rows of T integers, so memory does not depend on the number of images.
    Single-precision sums would lose pixels beyond 2**24, which is a few dozen images.
    """

    num_categories: int
    both_T: Counts = field(init=False)
    predicted_T: Counts = field(init=False)
    true_T: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.both_T, self.predicted_T, self.true_T = np.zeros((3, self.num_categories), np.int64)

    def add(self, predicted_HW: Tensor, labels_HW: Tensor) -> None:
        """Counts one image; pixels whose label is IGNORE are left out.

        Raises:
            ValueError: prediction and labels differ in shape, or an index is outside the T
                categories.
        """
        if predicted_HW.shape != labels_HW.shape:
            raise ValueError(
                f"Prediction and labels must have the same shape, but the prediction has "
                f"{tuple(predicted_HW.shape)} and the labels have {tuple(labels_HW.shape)}"
            )
        if predicted_HW.device.type != "cpu":
            counts_3T, valid = _counted_on_device(predicted_HW, labels_HW, len(self))
            if valid:
                for total_T, count_T in zip(
                    (self.both_T, self.predicted_T, self.true_T), counts_3T, strict=True
                ):
                    total_T += count_T
                return
        labels_N, predicted_N = labels_HW.flatten().cpu(), predicted_HW.flatten().cpu()
        is_kept_N = labels_N != IGNORE
        # Ignored pixels get index -1 and are counted in a bin of their own, because selecting the
        # others by a mask takes ten times as long.
        predicted_N = torch.where(is_kept_N, predicted_N.long(), -1)
        for kind, values_N in (("Predicted", predicted_N), ("Label", labels_N)):
            self._check(kind, values_N, is_kept_N)
        for total_T, values_N in (
            (self.both_T, torch.where(predicted_N == labels_N, predicted_N, -1)),
            (self.predicted_T, predicted_N),
            (self.true_T, torch.where(is_kept_N, labels_N.long(), -1)),
        ):
            total_T += torch.bincount(values_N + 1, minlength=len(self) + 1)[1:].numpy()

    def _check(self, kind: str, values_N: Tensor, is_kept_N: Tensor) -> None:
        """Checks that kept pixels have an index of a category."""
        if not len(values_N):
            return
        low, high = (int(end) for end in torch.where(is_kept_N, values_N, 0).aminmax())
        if low < 0 or high >= len(self):
            kept_N = values_N[is_kept_N]
            raise ValueError(
                f"{kind} indices must be in 0..{len(self) - 1} because the dataset has "
                f"{len(self)} categories, but they span {int(kept_N.min())}..{int(kept_N.max())}"
            )

    def merge(self, other: AreaCounts) -> None:
        """Adds the counts of another rank."""
        self.both_T += other.both_T
        self.predicted_T += other.predicted_T
        self.true_T += other.true_T

    def __len__(self) -> int:
        return self.num_categories


def _counted_on_device(
    predicted_HW: Tensor, labels_HW: Tensor, count: int
) -> tuple[NDArray[np.int64], bool]:
    """Counts of an image, correct, predicted and true (3, T), read from a device at once.

    The second result is False if an index is outside the T categories.
    """
    predicted_N, labels_N = predicted_HW.flatten().long(), labels_HW.flatten().long()
    labels_N = labels_N.to(predicted_N.device)
    ignored_N, different_N = labels_N == IGNORE, labels_N != predicted_N
    values_3N = torch.stack([labels_N, predicted_N, labels_N])
    # two more columns: what is not counted, and what is outside
    outside_3N = (values_3N < 0) | (values_3N >= count)
    values_3N = values_3N.masked_fill(outside_3N, count + 1)
    values_3N[0].masked_fill_(different_N, count)
    values_3N.masked_fill_(ignored_N, count)
    counts_3U = values_3N.new_zeros(3, count + 2)
    counts_3U.scatter_add_(1, values_3N, torch.ones_like(values_3N))
    found_3U = counts_3U.cpu().numpy()
    return found_3U[:, :count], not found_3U[:, count + 1].any()


@dataclass(frozen=True)
class IoUReport:
    """Metrics of a dataset, in percent; NaN if a metric is undefined.

    Args:
        names: names of the T categories.
        seen_T: True for categories seen in training.
        counts: pixel counts over the whole dataset.
        absent: convention for absent categories, a key of `ABSENT`. It decides which mIoU is
            quoted; both are always computed.
        note: rule that separates seen from unseen categories, printed with the metrics.
        part: description of the images if they are a part of the dataset; empty for all of it.
    """

    names: tuple[str, ...]
    seen_T: NDArray[np.bool_]
    counts: AreaCounts
    absent: str = "ground_truth"
    note: str = ""
    part: str = ""

    @property
    def iou_T(self) -> Percent:
        """IoU of each category; NaN if it is neither predicted nor true."""
        union_T = self.counts.predicted_T + self.counts.true_T - self.counts.both_T
        return _percent(self.counts.both_T, union_T)

    @property
    def accuracy_T(self) -> Percent:
        """Share of true pixels predicted correctly, per category; NaN if it has no true pixels."""
        return _percent(self.counts.both_T, self.counts.true_T)

    @property
    def headline(self) -> str:
        """Key in `summary` of the mIoU that the protocol quotes."""
        return ABSENT[self.absent][0]

    def summary(self) -> dict[str, float]:
        """All metrics in percent; the names do not depend on the protocol.

        ``mIoU`` is the mean over categories that occur in the ground truth, as in detectron2 and
        the papers of CAT-Seg and SED. ``mIoU_union`` is the mean over categories that occur in the
        ground truth or in a prediction, as in mmseg. ``mIoU_seen`` and ``mIoU_unseen`` are means
        over the seen and the unseen categories of the ground truth. ``hIoU`` is the harmonic mean
        of these two, and NaN if one of them is missing. ``pACC`` is the pixel accuracy, ``mACC``
        the mean accuracy of the categories, and ``fwIoU`` the IoU weighted by true pixels.
        """
        correct = int(self.counts.both_T.sum())
        return metrics_of(self.iou_T, self.accuracy_T, self.counts.true_T, self.seen_T, correct)

    def table(self) -> str:
        """Text table: one line for each category that occurs, then the summary."""
        names = [visible(name) for name in self.names]
        width = max([len(name) for name in names] + [8])
        lines = [f"{'category':{width}}  {'':6}  {'IoU':>6}  {'acc':>6}  {'pixels':>10}"]
        for i, name in enumerate(names):
            if self.counts.true_T[i] or self.counts.predicted_T[i]:
                kind = "seen" if self.seen_T[i] else "unseen"
                values = f"{_cell(self.iou_T[i])}  {_cell(self.accuracy_T[i])}"
                lines.append(f"{name:{width}}  {kind:6}  {values}  {self.counts.true_T[i]:10d}")
        absent = len(self.names) - (len(lines) - 1)
        lines.append(
            f"({absent} more categories neither occur nor are predicted)" if absent else ""
        )
        lines += [f"{key:16} {_cell(value)}" for key, value in self.summary().items()]
        lines += [f"({self.note})" if self.note else "", self.headline_line()]
        return "\n".join(line for line in lines if line)

    def headline_line(self) -> str:
        """Line that names the quoted mIoU and the classes it is the mean over."""
        value = _cell(self.summary()[self.headline]).strip()
        part = f"; on a part of the dataset: {self.part}" if self.part else ""
        return f"quoted: {self.headline} {value} (mean over {ABSENT[self.absent][1]}){part}"

    def as_dict(self) -> dict:
        """Summary, and IoU and pixels of each category by name, ready for JSON."""
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
                    "correct": int(self.counts.both_T[i]),
                }
                for i, name in enumerate(self.names)
            },
        }


def metrics_of(
    iou_T: Percent,
    accuracy_T: Percent,
    pixels_T: Counts,
    seen_T: NDArray[np.bool_],
    correct: float,
) -> dict[str, float]:
    """Metrics that follow from the values of T categories, see `IoUReport.summary`.

    Args:
        iou_T: IoU in percent; NaN if undefined.
        accuracy_T: share of true pixels predicted correctly, in percent; NaN if undefined.
        pixels_T: number of true pixels.
        seen_T: True for categories seen in training.
        correct: number of pixels predicted correctly, over all categories.
    """
    true_T = pixels_T > 0
    seen, unseen = _mean(iou_T[true_T & seen_T]), _mean(iou_T[true_T & ~seen_T])
    pixels = int(pixels_T[true_T].sum()) or float("nan")  # without labels nothing is defined
    return {
        "mIoU": _mean(iou_T[true_T]),
        "mIoU_union": _mean(iou_T),
        "mIoU_seen": seen,
        "mIoU_unseen": unseen,
        "hIoU": harmonic_mean(seen, unseen),
        "pACC": 100.0 * correct / pixels,
        "mACC": _mean(accuracy_T[true_T]),
        "fwIoU": float((iou_T[true_T] * pixels_T[true_T]).sum()) / pixels,
    }


def harmonic_mean(seen: float, unseen: float) -> float:
    """Harmonic mean of two percentages; 0 if either is 0, NaN if either is NaN.

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
