"""The metric that mmengine's loops call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from ovss.data.labels import seen_mask
from ovss.vocabularies import load_names

from .iou import AreaCounts, IoUReport, mean_iou_note


@METRICS.register_module()
class OpenVocabIoU(BaseMetric):
    """Mean IoU under both conventions for absent categories, and seen / unseen / harmonic mean.

    mmseg's IoUMetric keeps three rows of T numbers for every picture and sums them in single
    precision; this one keeps three rows in all, and integers. Equal to it wherever it is exact.

    Args:
        seen: names that training showed: a list, a text file, or a registered vocabulary. None:
            those that the data set marks as seen.
        prefix: of the names of the figures in logs.

    After an evaluation `report` holds the figures of every category. In distributed runs the
    sampler must not repeat pictures: DefaultSampler with ``shuffle=False, round_up=False``.
    """

    default_prefix = None

    def __init__(self, seen: str | Sequence[str] | None = None, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.seen = None if seen is None else load_names(seen)
        self.report: IoUReport | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count a batch: `pred_sem_seg` against `gt_sem_seg`, each (1, H, W)."""
        counts = self._counts()
        for sample in data_samples:
            if "gt_sem_seg" not in sample:
                raise ValueError(f"{sample.get('img_path')} has no ground truth to score against")
            counts.add(sample["pred_sem_seg"]["data"][0], sample["gt_sem_seg"]["data"][0])

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the counts of all processes, one entry from each."""
        self._counts()
        return super().evaluate(size)

    def compute_metrics(self, results: list[AreaCounts]) -> dict[str, float]:
        meta, counts = self.dataset_meta, AreaCounts(len(results[0]))
        for part in results:
            counts.merge(part)
        seen = meta.get("seen", meta["classes"]) if self.seen is None else self.seen
        self.report = IoUReport(tuple(meta["classes"]), seen_mask(meta["classes"], seen), counts)
        print_log(f"{self.report.table()}\n({mean_iou_note(seen)})", logger="current")
        return self.report.summary()

    def _counts(self) -> AreaCounts:
        if not self.results:
            self.results.append(AreaCounts(len(self.dataset_meta["classes"])))
        return self.results[0]
