"""Course of a labelling run, the same for every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ovss.io.reservations import is_reserved

from .job import LabelJob
from .manifest import write_manifest
from .outcome import ShardOutcome
from .shard_files import SHARD_FOLDER, shard_path

__all__ = ["LabelEngine", "LabelSummary", "fill_shards"]

_LOOK = 0.5
"""Seconds between two looks at the shards of another run."""


class LabelEngine(Protocol):
    """Computes shards somewhere."""

    def compute(
        self, shards: Sequence[int], report: Callable[[int], None]
    ) -> Iterator[ShardOutcome]:
        """Computes shards and gives the outcome of each once.

        Args:
            shards: numbers of the shards.
            report: callback with a number of images that were just segmented; negative if a shard
                has to be computed again.
        """
        ...


@dataclass
class LabelSummary:
    """What one start of a run did.

    Args:
        images: images that it labelled.
        errors: of them, images with an error.
        others: images of shards that other runs finished meanwhile.
        seconds: wall time of the engine.
        work_seconds: time of all workers on shards.
        model_seconds: time of all workers in the model.
    """

    images: int = 0
    errors: int = 0
    others: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    model_seconds: float = 0.0

    def add(self, outcome: ShardOutcome) -> None:
        """Adds the outcome of a shard."""
        self.images += outcome.images
        self.errors += outcome.errors
        self.work_seconds += outcome.seconds
        self.model_seconds += outcome.model_seconds


def fill_shards(
    job: LabelJob,
    engine: LabelEngine,
    shards: Sequence[int],
    report: Callable[[int], None],
    retry_errors: bool = False,
) -> LabelSummary:
    """Computes shards until each has its file, whoever wrote it, and writes the manifest.

    A shard that another run works on is waited for. If that run dies, the shard is computed here.

    Args:
        job: run.
        engine: engine of this start.
        shards: numbers of the shards to compute.
        report: callback of `LabelEngine.compute`.
        retry_errors: True to compute the error rows of finished shards again.
    """
    summary, waiting, started = LabelSummary(), list(shards), time.monotonic()
    while waiting:
        busy = []
        for outcome in engine.compute(waiting, report):
            summary.add(outcome)
            if outcome.state == "busy":
                busy.append(outcome.shard)
            elif outcome.state == "present":
                count = len(job.facts.rows(outcome.shard))
                summary.others += count
                report(count)
        waiting = _wait_for_others(job, busy, summary, report, retry_errors)
    summary.seconds = time.monotonic() - started
    write_manifest(job)
    return summary


def _wait_for_others(
    job: LabelJob,
    busy: Sequence[int],
    summary: LabelSummary,
    report: Callable[[int], None],
    retry_errors: bool,
) -> list[int]:
    """Shards that other runs gave up, after they have finished or left all shards of a list."""
    left, given_up = list(busy), []
    while left:
        for shard in list(left):
            if job.is_finished(shard, retry_errors):
                summary.others += len(job.facts.rows(shard))
                report(len(job.facts.rows(shard)))
            elif not is_reserved(
                job.folder / SHARD_FOLDER, shard_path(job.folder, shard).name
            ) and not job.is_finished(shard, retry_errors):
                given_up.append(shard)
            else:
                continue
            left.remove(shard)
        if given_up:
            return [*given_up, *left]
        if left:
            time.sleep(_LOOK)
    return given_up
