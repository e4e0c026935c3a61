"""Measures cells, each in a process of its own, and keeps those that are measured already."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ovss.benchmark.own_process import call_in_process
from ovss.io.excerpts import one_line
from ovss.io.hashing import content_hash

from .cells import ACCURACY, COST, MAPS, SCENES, THRESHOLDS, Cell, CellJob
from .identity import identity_of
from .measure_accuracy import measure_accuracy
from .measure_cost import measure_cost
from .measure_maps import measure_maps, measure_scenes
from .measure_thresholds import measure_thresholds
from .store import CellStore

__all__ = ["Log", "Run", "in_own_process", "measure_cells", "measured_content"]

Log = Callable[[str], None]
Run = Callable[[CellJob], dict[str, Any]]


def measured_content(job: CellJob, log: Log = lambda line: None) -> dict[str, Any]:
    """Measures a cell in this process."""
    measure = {
        ACCURACY: measure_accuracy,
        COST: measure_cost,
        THRESHOLDS: measure_thresholds,
        MAPS: measure_maps,
        SCENES: measure_scenes,
    }[job.kind]
    return measure(job, log)


def _measured_alone(job: CellJob, log: Log) -> dict[str, Any]:
    """Measures a cell in a process that nothing else uses."""
    os.environ["OVSS_CACHE_DIR"] = "off"  # so that the time of encoding names is that of encoding
    return measured_content(job, log)


def in_own_process(job: CellJob) -> dict[str, Any]:
    """Measures a cell in a new process, which ends with this one."""
    log = partial(print, flush=True)
    content: dict[str, Any] = call_in_process(_measured_alone, job, log, subject=str(job))
    return content


def measure_cells(
    jobs: Sequence[CellJob],
    store: CellStore,
    again: bool = False,
    log: Log = lambda line: None,
    run: Run = in_own_process,
) -> list[Cell]:
    """Measures all cells; returns them in the same order.

    A cell that fails has its reason in place of values, and the others are measured all the same.

    Args:
        jobs: cells.
        store: files of the cells.
        again: True to measure cells that have a file already.
        log: callback for lines of progress.
        run: function that measures one cell.

    Raises:
        OSError: a file cannot be written.
    """
    cells, start, measured = [], time.monotonic(), 0
    for number, job in enumerate(jobs, 1):
        title = f"[{number}/{len(jobs)}] {job}"
        try:
            identity = identity_of(job)
        except Exception as error:
            cells.append(_failed(job, "", error, title, log))
            continue
        key = content_hash(identity)
        kept = None if again else store.read(key)
        if kept is not None:
            log(f"{title}: already measured")
            cells.append(Cell(job, key, kept))
            continue
        if not again and (changes := store.changes(job, identity)):
            title += f", measured again because of {changes}"
        log(f"{title}{_remaining(time.monotonic() - start, measured, len(jobs) - number + 1)}")
        begin, measured = time.monotonic(), measured + 1
        try:
            content = run(job)
        except Exception as error:
            cells.append(_failed(job, key, error, title, log))
            continue
        store.write(key, job, identity, content, time.monotonic() - begin)
        cells.append(Cell(job, key, content))
    return cells


def _failed(job: CellJob, key: str, error: Exception, title: str, log: Log) -> Cell:
    text = one_line(str(error.args[0] if isinstance(error, KeyError) and error.args else error))
    reason = text or type(error).__name__
    log(f"{title}: FAILED: {reason}")
    return Cell(job, key, None, reason)


def _remaining(seconds: float, measured: int, left: int) -> str:
    """Estimate of the remaining time, at the mean time of the cells that were measured."""
    if not measured:
        return ""
    return f" (about {max(1, round(seconds / measured * left / 60))} min left)"
