"""Threshold cell: what a selector keeps, accuracy and cost at several thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ovss.benchmark.images import open_dataset
from ovss.benchmark.selection import curve
from ovss.benchmark.table import clock_of, made_with
from ovss.io.hashing import content_hash
from ovss.models.build import build_segmentor

from .cells import CellJob
from .identity import cell_protocol, settled_config

__all__ = ["measure_thresholds"]


def measure_thresholds(job: CellJob, log: Callable[[str], None]) -> dict[str, Any]:
    """Values of a threshold cell: one point for each threshold, without any training."""
    config, protocol = settled_config(job)
    weights = None if job.weights == "none" else job.weights
    model = build_segmentor(config, weights, job.device)
    data = open_dataset(config, None, job.images)
    points = curve(
        config, model, data, job.thresholds, job.images, lambda line: log(f"  {job}: {line}")
    )
    return {
        "points": [point.as_dict() for point in points],
        "clock": clock_of(job.device),
        "census": content_hash([points[0].names, points[0].counts.true_T.tolist()]),
        "protocol": cell_protocol(protocol),
        "made_with": made_with(job.device),
    }
