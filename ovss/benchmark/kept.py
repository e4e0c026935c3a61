"""Records what a selector keeps: the number of categories, recall, mIoU, time and operations."""

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
    """Measurements at one threshold on one dataset.

    Args:
        threshold: threshold of the selector; None for the configured one.
        names: names of the T categories.
        seen_T: True for categories of the training set.
        kept_view: number of categories kept in each view.
        kept_image: number kept in each image after its views are merged, before the post-processor.
        present_T: number of images whose labels contain a category.
        found_T: number of those images in which the category was kept.
        counts: pixel counts, as in `ovss test`.
        seconds: time of each image. The encoder's part is measured once for all thresholds.
        macs: multiply-accumulates of an image, over all views, at the mean number kept per view.
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
        """Adds one image.

        Args:
            labels_HW: ground truth.
            predicted_HW: label map of the method.
            watch: record of what the selector kept in this image.
            seconds: time of the image.
        """
        present_T = np.zeros(len(self.names), bool)
        present_T[labels_HW[labels_HW != IGNORE].unique().cpu().numpy()] = True
        self.kept_view += [int(n) for kept_B in watch.views for n in kept_B]
        self.kept_image.append(int(watch.kept_T.sum()))
        self.present_T += present_T
        self.found_T += present_T & watch.kept_T
        self.counts.add(predicted_HW, labels_HW)
        self.seconds.append(seconds)

    def recall(self, of_T: np.ndarray | None = None) -> float | None:
        """Percentage of the (category, image) pairs in the labels whose category was kept.

        Args:
            of_T: True for the categories to count; None for all.

        Returns:
            None if the labels contain no such pair.
        """
        of_T = np.ones(len(self.names), bool) if of_T is None else of_T
        present = int(self.present_T[of_T].sum())
        return 100.0 * int(self.found_T[of_T].sum()) / present if present else None

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON."""
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
                clock: statistics.mean(getattr(span, clock) for span in self.seconds)
                for clock in ("wall", "processor")
            },
            "gmacs_per_image": self.macs / 1e9,
        }


def _spread(counts: list[int]) -> dict[str, float]:
    return {"mean": statistics.mean(counts), "smallest": min(counts), "largest": max(counts)}


@dataclass
class Watch:
    """Record of what a selector kept in the last image.

    Args:
        views: number of categories kept in each view, one list per run of the selector.
        kept_T: True for categories kept in any view.
    """

    views: list[list[int]] = field(default_factory=list)
    kept_T: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def record_view(self, selector: Any, inputs: Any, selection: Selection) -> None:
        """Forward hook of the selector."""
        self.views.append(selection.valid_BK.sum(1).tolist())

    def record_merged(self, post_processor: Any, inputs: tuple[Scores]) -> None:
        """Forward pre-hook of the post-processor, whose input has the views merged."""
        self.kept_T = inputs[0].selection.mask()[0].cpu().numpy()
