"""Accuracy cell: one pass over the images of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from ovss.benchmark.audit import audit
from ovss.benchmark.table import evaluated
from ovss.benchmark.table_jobs import Job
from ovss.io.fingerprint import sha256
from ovss.io.hashing import content_hash
from ovss.results.record import weights_record
from ovss.selection import IGNORE

from .cells import CellJob
from .identity import cell_protocol, settled_config

__all__ = ["PixelRecorder", "measure_accuracy"]


class PixelRecorder:
    """Pixel counts of each image by category, and of each confused pair over all images."""

    def __init__(self) -> None:
        self.areas: list[list[int]] = []
        self._pairs: dict[tuple[int, int], int] = {}

    def add(self, index: int, labels_HW: Tensor, predicted_HW: Tensor) -> None:
        """Counts one image; pixels without a label are left out.

        Args:
            index: number of the image.
            labels_HW: ground truth.
            predicted_HW: label map of the method.
        """
        labels_N, predicted_N = labels_HW.flatten().cpu().numpy(), predicted_HW.flatten().cpu()
        is_labelled_N = labels_N != IGNORE
        true_N, found_N = labels_N[is_labelled_N], predicted_N.numpy()[is_labelled_N]
        if not true_N.size:
            return
        size = int(max(true_N.max(), found_N.max())) + 1
        codes_N, counts_N = np.unique(true_N.astype(np.int64) * size + found_N, return_counts=True)
        for code, count in zip(codes_N.tolist(), counts_N.tolist()):
            pair = divmod(code, size)
            self._pairs[pair] = self._pairs.get(pair, 0) + count
        true_T, predicted_T = (np.bincount(values_N, None, size) for values_N in (true_N, found_N))
        correct_T = np.bincount(true_N[true_N == found_N], None, size)
        for t in np.flatnonzero(predicted_T + true_T).tolist():
            counts = (int(correct_T[t]), int(predicted_T[t]), int(true_T[t]))
            self.areas.append([index, t, *counts])

    def pairs(self) -> list[list[int]]:
        """Rows (true category, predicted category, pixels) of different ones, most pixels first."""
        wrong = [[a, b, count] for (a, b), count in self._pairs.items() if a != b]
        return sorted(wrong, key=lambda row: (-row[2], row))


def measure_accuracy(job: CellJob, log: Callable[[str], None]) -> dict[str, Any]:
    """Values of an accuracy cell: the row of the table, counts of images, confusions and audit."""
    config, protocol = settled_config(job)
    row_job = Job(job.method, job.data, job.images, job.weights, job.device)
    recorder = PixelRecorder()
    outcome = evaluated(row_job, config, None, log, recorder.add)
    point, model = outcome.point, outcome.model
    weights = weights_record(model, config, None if job.weights == "none" else job.weights)
    text = model.encode_vocabulary(point.names)
    return {
        "row": outcome.row,
        "protocol": cell_protocol(protocol),
        "census": content_hash([point.names, point.counts.true_T.tolist()]),
        "names": list(point.names),
        "seen": point.seen_T.tolist(),
        "areas": recorder.areas,
        "confused": recorder.pairs(),
        "weights": asdict(weights),
        "text_sha256": sha256({"text": text.mean_TC.cpu()}),
        "audit": audit(model, point.names, job.temperature).as_dict(),
        "recall": point.recall(),
    }
