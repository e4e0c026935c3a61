"""Engine of a cluster: Ray Data with actors that hold the model.

The blocks of the dataset are numbers of shards. Images never pass through Ray's object store: an
actor reads those of its shard, writes the shard's file into the folder that all machines share, and
returns a few numbers. Ray replaces actors that die and computes their shards again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from .extras import import_ray
from .job import LabelJob
from .local import TRIES
from .outcome import ShardOutcome, failure_text
from .settings import LabelSettings
from .worker import ShardWorker, prepare_process

__all__ = ["RayEngine"]

OBJECT_STORE = 128 << 20
"""Bytes of the object store of a local cluster; only numbers of shards pass through it."""

MOST_BLOCKS = 4096
"""Blocks of a dataset; each is a task of one actor, which computes its shards in turn."""

_ADDRESS = "RAY_ADDRESS"


class RayEngine:
    """Computes shards in the actors of a Ray cluster.

    Args:
        job: run; its folder is shared by all machines.
        settings: model and rules.
        run: name of this start of the run.
        workers: number of actors; None: as many as the cluster has GPUs, or else processors for.
        retry_errors: True to compute error rows of finished shards again.
        address: address of the cluster, such as ``"auto"``; None: that of the environment variable
            RAY_ADDRESS, or a cluster on this machine for the time of the run.
    """

    def __init__(
        self,
        job: LabelJob,
        settings: LabelSettings,
        run: str,
        workers: int | None,
        retry_errors: bool,
        address: str | None = None,
    ) -> None:
        # actors may have other working folders
        self.job = replace(job, folder=job.folder.absolute())
        self.settings, self.run, self.workers = settings.absolute(), run, workers
        self.retry_errors, self.address = retry_errors, address

    def compute(
        self, shards: Sequence[int], report: Callable[[int], None]
    ) -> Iterator[ShardOutcome]:
        """Computes shards in any order.

        Args:
            shards: numbers of the shards.
            report: callback with a number of images that were just labelled, a shard at a time.

        Raises:
            ImportError: Ray Data is not installed.
            RuntimeError: an actor cannot begin, or a shard fails again and again.
            ConnectionError: no cluster answers at the address.
        """
        ray = import_ray()
        with _cluster(ray, self.address, self.workers or 1, self.settings.threads):
            size, resources = self._resources(ray)
            items = [{"shard": number} for number in shards]
            dataset = ray.data.from_items(
                items, override_num_blocks=min(len(items), MOST_BLOCKS)
            ).map_batches(
                _RayWorker,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(size, len(items))),
                fn_constructor_args=(self.job, self.settings, self.run, self.retry_errors),
                **resources,
            )
            try:
                for row in dataset.iter_rows():
                    outcome = ShardOutcome(**row)
                    if outcome.state == "failed":
                        raise RuntimeError(outcome.reason)
                    if outcome.state == "done":
                        report(outcome.images)
                    yield outcome
            except ray.exceptions.RayError as error:
                raise RuntimeError(_reason(error)) from error

    def _resources(self, ray: Any) -> tuple[int, dict[str, float]]:
        """Number of actors, and what Ray reserves for each."""
        found, threads = ray.cluster_resources(), self.settings.threads
        wants_gpu = self.settings.device.partition(":")[0] == "cuda"
        gpus = int(found.get("GPU", 0))
        if wants_gpu or (self.settings.device == "auto" and gpus):
            return self.workers or max(gpus, 1), {"num_gpus": 1, "num_cpus": threads}
        return self.workers or max(int(found.get("CPU", 1)) // threads, 1), {"num_cpus": threads}


class _RayWorker:
    """Actor: computes the shards that it is sent.

    It raises no error, because Ray answers errors with pages of tracebacks.
    """

    def __init__(self, job: LabelJob, settings: LabelSettings, run: str, retry: bool) -> None:
        try:
            prepare_process(settings)
            # Ray shows each actor its own GPU only, so that its number does not matter
            self.worker = ShardWorker(job, settings, run, settings.device, retry)
            self.failure = ""
        except Exception as error:
            self.failure = f"a worker cannot begin: {failure_text(error)}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        outcomes = [asdict(self._compute(int(shard))) for shard in batch["shard"]]
        return {key: [outcome[key] for outcome in outcomes] for key in outcomes[0]}

    def _compute(self, shard: int) -> ShardOutcome:
        reason = self.failure
        for _ in range(0 if self.failure else TRIES):
            try:
                return self.worker.compute(shard, _ignore)
            except Exception as error:
                reason = f"shard {shard} failed {TRIES} times: {failure_text(error)}"
        return ShardOutcome(shard, "failed", reason=reason)


def _ignore(count: int) -> None:
    """Callback for images; the driver counts shards instead."""


@contextmanager
def _cluster(ray: Any, address: str | None, workers: int, threads: int) -> Iterator[None]:
    """Context with a connection to a cluster, or with a small cluster on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it warns of its own arguments
    _quieten(ray)
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is not None or os.environ.get(_ADDRESS):
        ray.init(address=address or os.environ[_ADDRESS], **quiet)
    else:
        ray.init(
            num_cpus=workers * threads,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            # the parent of a worker ends with this process, also if it is killed
            runtime_env={"worker_process_setup_hook": "ovss.io.children.watch_parent"},
            **quiet,
        )
    try:
        yield
    finally:
        ray.shutdown()


def _quieten(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _reason(error: BaseException) -> str:
    """Innermost reason of an error that an actor raised, without the tracebacks of Ray."""
    causes = [error]
    while (following := getattr(causes[-1], "cause", None) or causes[-1].__cause__) is not None:
        if following in causes:
            break
        causes.append(following)
    lines = [line for line in str(causes[-1]).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(causes[-1]).__name__
