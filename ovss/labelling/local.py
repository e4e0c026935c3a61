"""Engine of one machine: worker processes, each replaced when it dies."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from .job import LabelJob
from .outcome import ShardOutcome
from .settings import LabelSettings
from .worker_process import work

__all__ = ["LocalEngine"]

STARTS = 3
"""Workers in a row that may die before their model is built until the run ends."""

DEATHS_OF_A_SHARD = 20
"""Workers that may die on one shard until the run ends; `Attempt` leaves out bad images earlier."""

TRIES = 2
"""Times that a shard may fail with an error before the run ends."""


class LocalEngine:
    """Computes shards in processes of this machine.

    Args:
        job: run.
        settings: model and rules.
        run: name of this start of the run.
        workers: number of processes.
        retry_errors: True to compute error rows of finished shards again.
    """

    def __init__(
        self, job: LabelJob, settings: LabelSettings, run: str, workers: int, retry_errors: bool
    ) -> None:
        self.job, self.settings, self.run = job, settings, run
        self.workers, self.retry_errors = workers, retry_errors
        self._fruitless = 0
        self._tries: Counter[int] = Counter()
        self._deaths: Counter[int] = Counter()

    def compute(
        self, shards: Sequence[int], report: Callable[[int], None]
    ) -> Iterator[ShardOutcome]:
        """Computes shards, in about their order.

        Args:
            shards: numbers of the shards.
            report: callback with a number of images that were just segmented. It is negative for
                images of a shard that has to be computed again.

        Raises:
            RuntimeError: workers die again and again, or a shard fails again and again.
        """
        waiting, children = deque(shards), dict[Connection, _Child]()
        try:
            while waiting or any(child.shard is not None for child in children.values()):
                free = set(range(self.workers)) - {child.number for child in children.values()}
                for number in sorted(free)[: len(waiting)]:
                    child = _start(self, number)
                    children[child.connection] = child
                for ready in wait(list(children)):
                    child = children[ready]  # type: ignore[index]
                    if not child.is_open():
                        del children[child.connection]
                        self._bury(child, waiting, report)
                        continue
                    outcome = self._hear(child, waiting, report)
                    if outcome is not None:
                        yield outcome
        finally:
            for child in children.values():
                child.end()

    def _hear(
        self, child: _Child, waiting: deque[int], report: Callable[[int], None]
    ) -> ShardOutcome | None:
        """Handles a message of a worker."""
        kind, content = child.message
        if kind == "images":
            child.images += content
            report(content)
            return None
        if kind == "error":
            raise RuntimeError(f"a worker cannot begin: {content}")
        if kind == "ready":
            self._fruitless = 0
        elif kind == "failed" and child.shard is not None:
            self._tries[child.shard] += 1
            report(-child.images)
            if self._tries[child.shard] >= TRIES:
                raise RuntimeError(f"shard {child.shard} failed {TRIES} times: {content}")
            waiting.appendleft(child.shard)
        child.next(waiting)
        return content if kind == "outcome" else None

    def _bury(self, child: _Child, waiting: deque[int], report: Callable[[int], None]) -> None:
        """Puts the shard of a dead worker back, and gives up if all workers die."""
        child.end()
        if child.shard is None:
            self._fruitless += 1
        else:
            waiting.appendleft(child.shard)
            report(-child.images)
            self._deaths[child.shard] += 1
        deaths = max([self._fruitless, *self._deaths.values()])
        if self._fruitless >= STARTS or deaths >= DEATHS_OF_A_SHARD:
            place = "before they began" if child.shard is None else f"on shard {child.shard}"
            raise RuntimeError(
                f"{deaths} worker processes ended unexpectedly {place} ({child.reason()}). If "
                "memory is short, use fewer workers"
            )


@dataclass
class _Child:
    """Worker process as the driver sees it."""

    number: int
    process: Any
    connection: Connection
    shard: int | None = None
    images: int = 0
    message: tuple[str, Any] = ("", None)

    def is_open(self) -> bool:
        """Receives a message; False if the process has ended."""
        try:
            self.message = self.connection.recv()
        except (EOFError, OSError):
            return False
        return True

    def next(self, waiting: deque[int]) -> None:
        """Sends the next shard, if there is one."""
        self.shard, self.images = waiting.popleft() if waiting else None, 0
        if self.shard is not None:
            with suppress(OSError):  # the process has ended, which the next message shows
                self.connection.send(self.shard)

    def end(self) -> None:
        """Ends the process, which may have ended."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def reason(self) -> str:
        """Words for the way the process ended."""
        code = self.process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _start(engine: LocalEngine, number: int) -> _Child:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True, name=f"label-{number}")
    process.start()
    theirs.close()  # so that the end of the process closes the pipe
    with suppress(OSError):  # the process has ended, which the next message shows
        ours.send((engine.job, engine.settings, engine.run, number, engine.retry_errors))
    return _Child(number, process, ours)
