"""Estimate of a labelling run from a sample: time, memory and bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ovss.data.part import spread

from .job import LabelJob, open_job
from .listing import ImageInputs, ListedImage, Listing
from .plan import PLAN_FILE, LabelPlan, write_plan
from .reading import read_listed
from .settings import LabelSettings, find_identity
from .shard_files import shard_path, write_shard
from .worker import ShardWorker, prepare_process, shard_metadata

__all__ = ["LabelEstimate", "estimate_run"]

WARM_UP = 2
"""Images that are segmented before the clock starts."""


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
        sample: images of the sample.
        folder: empty folder for the sample's files.
        report: callback with a number of images that were just segmented.
    """
    prepare_process(settings)
    images: list[ListedImage] = []
    for number in spread(plan.facts.images, sample):
        shard, place = divmod(number, plan.facts.shard_size)
        images.append(plan.shard(shard)[place])
    inputs = ImageInputs((), plan.facts.inputs["column"])
    write_plan(folder / PLAN_FILE, images, Listing(), inputs, len(images))
    identity, _ = find_identity(settings, settings.device, settings.precision)
    job = open_job(folder, LabelPlan(folder / PLAN_FILE).facts, identity)
    worker = ShardWorker(job, settings, "estimate", settings.device)
    _warm_up(worker, images[:WARM_UP], inputs.column)
    outcome = worker.compute(0, report)
    return LabelEstimate(
        plan.facts.images,
        outcome.images,
        outcome.errors,
        outcome.seconds / outcome.images,
        outcome.model_seconds / outcome.images,
        _row_bytes(job, plan.facts.shard_size),
        _peak_memory(),
    )


def _warm_up(worker: ShardWorker, images: Sequence[ListedImage], column: str | None) -> None:
    with ThreadPoolExecutor(1) as pool:
        for _, pixels in read_listed(images, column, True, pool, 0):
            with suppress(Exception):  # a bad image is counted later
                worker.inferencer.label(pixels.result(), worker.settings.request)


def _row_bytes(job: LabelJob, shard_size: int) -> float:
    """Bytes of each image in a run with larger shards than those of the sample.

    A shard has a head of fixed size, which an empty one shows.
    """
    write_shard(job.folder, 1, [], job.sha256, shard_metadata(job))
    whole, head = (shard_path(job.folder, number).stat().st_size for number in (0, 1))
    return (whole - head) / job.facts.images + head / shard_size


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
