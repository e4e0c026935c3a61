"""What a selector keeps, and what that is worth: how many categories, how many of those that are
there, mIoU, time, operations."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ovss.evaluation.iou import AreaCounts, IoUReport
from ovss.selection import IGNORE, Selection
from ovss.structures import Scores

from .clock import Span


@dataclass
class Point:
    """One threshold on one dataset.

    Args:
        threshold: None: the selector as configured.
        names: T categories. seen_T: those that training showed.
        kept_view: categories kept of each view. kept_image: of each image, its views merged,
            before the post-processor.
        present_T, found_T: images whose labels hold a category; of those, where it was kept.
        counts: pixels, as `ovss test` counts them.
        seconds: of each image, the encoder's share measured once for all thresholds.
        macs: multiply-accumulates of an image, all views, at the mean number kept.
    """

    threshold: float | None
    names: tuple[str, ...]
    seen_T: np.ndarray
    kept_view: list[int] = field(default_factory=list)
    kept_image: list[int] = field(default_factory=list)
    present_T: np.ndarray = field(init=False)
    found_T: np.ndarray = field(init=False)
    counts: AreaCounts = field(init=False)
    seconds: list[Span] = field(default_factory=list)
    macs: int = 0

    def __post_init__(self) -> None:
        self.present_T, self.found_T = np.zeros((2, len(self.names)), np.int64)
        self.counts = AreaCounts(len(self.names))

    def add(self, labels_HW: Tensor, predicted_HW: Tensor, watch: Watch, seconds: Span) -> None:
        """Count an image."""
        present_T = np.zeros(len(self.names), bool)
        present_T[labels_HW[labels_HW != IGNORE].unique().cpu().numpy()] = True
        self.kept_view += [int(n) for kept_B in watch.views for n in kept_B]
        self.kept_image.append(int(watch.kept_T.sum()))
        self.present_T += present_T
        self.found_T += present_T & watch.kept_T
        self.counts.add(predicted_HW, labels_HW)
        self.seconds.append(seconds)

    def recall(self, of_T: np.ndarray | None = None) -> float | None:
        """Percent of the (category, image) pairs in the labels whose category was kept; None
        where there is no such pair."""
        of_T = np.ones(len(self.names), bool) if of_T is None else of_T
        present = int(self.present_T[of_T].sum())
        return 100.0 * int(self.found_T[of_T].sum()) / present if present else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        report = IoUReport(self.names, self.seen_T, self.counts)
        return {
            "threshold": self.threshold,
            "categories": len(self.names),
            "images": len(self.kept_image),
            "kept_per_view": _spread(self.kept_view),
            "kept_per_image": _spread(self.kept_image),
            "recall": self.recall(),
            "recall_seen": self.recall(self.seen_T),
            "recall_unseen": self.recall(~self.seen_T),
            **report.as_dict()["summary"],
            "seconds_per_image": {
                what: statistics.mean(getattr(span, what) for span in self.seconds)
                for what in ("wall", "processor")
            },
            "gmacs_per_image": self.macs / 1e9,
        }


def _spread(counts: list[int]) -> dict[str, float]:
    return {"mean": statistics.mean(counts), "smallest": min(counts), "largest": max(counts)}


@dataclass
class Watch:
    """What was kept of the last image: of each view, and of all views together."""

    views: list[list[int]] = field(default_factory=list)
    kept_T: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def see_view(self, part: Any, given: Any, selection: Selection) -> None:
        self.views.append(selection.valid_BK.sum(1).tolist())

    def see_merged(self, part: Any, given: tuple[Scores]) -> None:
        self.kept_T = given[0].selection.mask()[0].cpu().numpy()
