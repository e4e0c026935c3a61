"""Worker of every engine: computes the rows of one shard after the other."""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ovss import __version__
from ovss.io.names import ImageError, printable
from ovss.io.reservations import reserve

from .attempts import DEATHS, Attempt
from .job import LabelJob
from .listing import ListedImage
from .outcome import ShardOutcome
from .plan import PLAN_FILE, LabelPlan
from .reading import read_listed
from .rows import ERROR, OK, error_row, label_row
from .settings import LabelSettings, build_inferencer, weights_hash
from .shard_files import SHARD_FOLDER, read_shard_rows, shard_path, write_shard

__all__ = ["ShardWorker", "prepare_process", "shard_metadata"]

_UNWRITTEN = 3
"""Results that wait for their rows at most, which bounds the memory."""

Row = dict[str, Any]


class ShardWorker:
    """Model with the threads that feed it. It lives in one process.

    Args:
        job: run.
        settings: model and rules.
        run: name of this start of the run, the same for all of its workers.
        device: device of this worker.
        retry_errors: True to compute the error rows of finished shards again.

    Raises:
        ValueError: the model on this machine is not that of the run.
    """

    def __init__(
        self,
        job: LabelJob,
        settings: LabelSettings,
        run: str,
        device: str,
        retry_errors: bool = False,
    ) -> None:
        self.job, self.settings, self.run, self.retry_errors = job, settings, run, retry_errors
        self.inferencer = build_inferencer(settings, device, settings.precision)
        found = weights_hash(self.inferencer)
        if found != job.identity["weights_sha256"]:
            raise ValueError(
                f"expected the weights of this run (SHA-256 {job.identity['weights_sha256']}), "
                f"found others ({found}) on {platform.node()}. Copy the weights to this machine"
            )
        self.plan = LabelPlan(job.folder / PLAN_FILE)
        self._readers = ThreadPoolExecutor(settings.readers, "read")
        self._writer = ThreadPoolExecutor(1, "rows")
        self._model_seconds, self._successes = 0.0, 0

    def compute(self, shard: int, report: Callable[[int], None]) -> ShardOutcome:
        """Computes a shard and writes its file, unless it is finished or another run has it.

        Args:
            shard: number of the shard.
            report: callback with the number of images that were just segmented.

        Raises:
            Exception: the model fails on images of all kinds, or a file cannot be written.
        """
        name = shard_path(self.job.folder, shard).name
        reservation = reserve(self.job.folder / SHARD_FOLDER, name)
        if reservation is None:
            return ShardOutcome(shard, "busy")
        try:
            if self.job.is_finished(shard, self.retry_errors):
                return ShardOutcome(shard, "present")
            return self._compute(shard, report)
        finally:
            reservation.release()

    def _compute(self, shard: int, report: Callable[[int], None]) -> ShardOutcome:
        started, before, finished = time.perf_counter(), self._model_seconds, False
        images, kept = self.plan.shard(shard), self._kept(shard)
        numbers = [n for n in range(len(images)) if n not in kept]
        attempt = Attempt(self.job.folder, shard, self.run)
        try:
            first = self.plan.facts.rows(shard).start
            new = self._rows([images[n] for n in numbers], numbers, first, attempt, report)
            rows = kept | dict(zip(numbers, new, strict=True))
            write_shard(
                self.job.folder,
                shard,
                [rows[n] for n in range(len(images))],
                self.job.sha256,
                shard_metadata(self.job),
            )
            finished = True
        finally:
            attempt.end(finished)
        return ShardOutcome(
            shard,
            "done",
            len(new),
            sum(row["status"] == ERROR for row in new),
            time.perf_counter() - started,
            self._model_seconds - before,
        )

    def _kept(self, shard: int) -> dict[int, Row]:
        """Rows without errors of a finished shard whose errors are computed again."""
        if not (self.retry_errors and shard_path(self.job.folder, shard).exists()):
            return {}
        try:
            rows = read_shard_rows(self.job.folder, shard)
        except ValueError:  # a damaged file is replaced
            return {}
        return {n: row for n, row in enumerate(rows) if row["status"] == OK}

    def _rows(
        self,
        images: Sequence[ListedImage],
        numbers: Sequence[int],
        first: int,
        attempt: Attempt,
        report: Callable[[int], None],
    ) -> list[Row]:
        """Rows of images, which are read ahead in threads while the model computes."""
        ahead = 0 if attempt.is_careful else 2 * self.settings.readers
        large = self.settings.large or bool(self.settings.tile)
        column = self.job.facts.inputs["column"]
        unwritten: deque[Future[Row]] = deque()
        rows: list[Row] = []
        failures: list[Exception] = []
        for place, pixels in read_listed(images, column, large, self._readers, ahead):
            image, number = images[place], numbers[place]
            base = _base(image, first + number)
            unwritten.append(self._row(image, base, pixels, attempt.begin(number), failures))
            if len(unwritten) > _UNWRITTEN:
                rows.append(unwritten.popleft().result())
            report(1)
        rows += [future.result() for future in unwritten]
        if failures and not self._successes:  # the model fails, not these images
            raise failures[0]
        return rows

    def _row(
        self,
        image: ListedImage,
        base: Row,
        pixels: Future[np.ndarray],
        may_begin: bool,
        failures: list[Exception],
    ) -> Future[Row]:
        """Future of the row of an image, after the model has segmented it."""
        if not may_begin:
            pixels.cancel()
            reason = f"{DEATHS} processes ended unexpectedly while they segmented this image"
            return self._writer.submit(error_row, base, reason)
        try:
            rgb_HW3 = pixels.result()
            started = time.perf_counter()
            result = self.inferencer.label(
                rgb_HW3,
                self.settings.request,
                tile=self.settings.tile,
                large=True,
                name=os.fsdecode(image.place) if image.row < 0 else "",
            )
            self._model_seconds += time.perf_counter() - started
            self._successes += 1
            return self._writer.submit(label_row, base, result)
        except ImageError as error:
            return self._writer.submit(error_row, base, str(error))
        except Exception as error:
            if "CUDA error" in str(error):  # no later image would succeed in this process
                raise
            failures.append(error)
            reason = f"cannot be segmented ({type(error).__name__}: {str(error)[:300]})"
            return self._writer.submit(error_row, base, " ".join(reason.split()))


def shard_metadata(job: LabelJob) -> dict[str, Any]:
    """Values for the metadata of every shard of a run."""
    own = {"format": 1, "ovss": __version__, "plan_sha256": job.facts.sha256}
    return {**own, **job.identity}


def prepare_process(settings: LabelSettings) -> None:
    """Makes the results of this process independent of its machine's load and history.

    Kernels follow a fixed rule instead of measurements, and the number of threads is that of the
    run, because both change the order in which numbers are added.
    """
    import torch

    from ovss.kernels import set_tuning

    set_tuning(False)
    torch.set_num_threads(settings.threads)


def _base(image: ListedImage, number: int) -> Row:
    """First columns of a row."""
    return {
        "image_id": number,
        "key": image.key,
        "path": printable(os.fsdecode(image.place)) if image.place else None,
        "row": None if image.row < 0 else image.row,
    }
