"""Estimate of a labelling run from a sample: time, memory and bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ovss.data.part import spread

from .job import LabelJob, open_job
from .listing import ImageInputs, ListedImage, Listing
from .plan import PLAN_FILE, LabelPlan, write_plan
from .settings import LabelSettings, find_identity
from .shard_files import read_shard_rows, shard_path, write_shard
from .worker import ShardWorker, prepare_process, shard_metadata

__all__ = ["LabelEstimate", "estimate_run"]

SHARD = 4
"""Images of the shards of a sample; the first shard warms the model up and is not measured."""


@dataclass(frozen=True)
class LabelEstimate:
    """What a sample says about a run.

    Args:
        images: images of the run.
        sample: images that were measured.
        errors: of them, images with an error.
        seconds: seconds for each image in one worker.
        model_seconds: of them, seconds in the model.
        row_bytes: bytes of the shards for each image.
        memory: bytes that a worker takes at most.
    """

    images: int
    sample: int
    errors: int
    seconds: float
    model_seconds: float
    row_bytes: float
    memory: int

    def hours(self, workers: int) -> float:
        """Hours of the whole run with a number of workers of the same speed."""
        return self.images * self.seconds / workers / 3600


def estimate_run(
    plan: LabelPlan,
    settings: LabelSettings,
    sample: int,
    folder: Path,
    report: Callable[[int], None],
) -> LabelEstimate:
    """Labels a sample of a list in this process.

    Args:
        plan: list of the images.
        settings: model and rules.
        sample: images of the sample that are measured; `SHARD` more warm up.
        folder: empty folder for the sample's files.
        report: callback with a number of images that were just segmented.
    """
    prepare_process(settings)
    images: list[ListedImage] = []
    for number in spread(plan.facts.images, sample + SHARD):
        shard, place = divmod(number, plan.facts.shard_size)
        images.append(plan.shard(shard)[place])
    inputs = ImageInputs((), plan.facts.inputs["column"])
    write_plan(folder / PLAN_FILE, images, Listing(), inputs, SHARD)
    identity, _ = find_identity(settings, settings.device, settings.precision)
    job = open_job(folder, LabelPlan(folder / PLAN_FILE).facts, identity)
    worker = ShardWorker(job, settings, "estimate", settings.device)
    outcomes = [worker.compute(shard, report) for shard in range(job.facts.shards)]
    measured = outcomes[1:] or outcomes
    count = sum(outcome.images for outcome in measured)
    return LabelEstimate(
        plan.facts.images,
        count,
        sum(outcome.errors for outcome in measured),
        sum(outcome.seconds for outcome in measured) / count,
        sum(outcome.model_seconds for outcome in measured) / count,
        _row_bytes(job, plan.facts.shard_size),
        _peak_memory(),
    )


def _row_bytes(job: LabelJob, shard_size: int) -> float:
    """Bytes of each image in a run with larger shards than those of the sample.

    A shard has a head of fixed size, which an empty one shows.
    """
    rows = [row for n in range(job.facts.shards) for row in read_shard_rows(job.folder, n)]
    sizes = []
    for number, part in enumerate([[], rows], job.facts.shards):
        write_shard(job.folder, number, part, job.sha256, shard_metadata(job))
        sizes.append(shard_path(job.folder, number).stat().st_size)
    return (sizes[1] - sizes[0]) / len(rows) + sizes[0] / shard_size


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
