"""Table of methods, each measured on the same images and in its own process."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss import __version__
from ovss.data.base import SegmentationDataset
from ovss.io.children import end_with_parent
from ovss.io.locks import FileLock
from ovss.models.build import build_segmentor
from ovss.results.record import processor
from ovss.segmentor import OpenVocabSegmentor

from .arguments import write_json
from .clock import Clock
from .complexity import count_parameters
from .images import open_dataset, samples_of
from .memory import peak_memory
from .row_checks import read_rows
from .selection import curve
from .speed_cases import Contender, image_case
from .table_jobs import Job, config_of

MEMORY_IMAGES = 8
"""Number of images, one after the other, over which the memory peak is taken."""

Row = dict[str, Any]


def run(
    jobs: Sequence[Job],
    file: str | Path | None = None,
    again: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Measures all jobs; returns their rows in the same order.

    Args:
        jobs: jobs made by `plan`.
        file: JSON file that receives every row as soon as it is measured. Rows that it already has
            for the same job are reused.
        again: True to measure those rows too.
        log: callback for lines of progress.

    Raises:
        ValueError: `file` holds something else.
        BlockingIOError: another process measures into `file`.
        RuntimeError: a process ended without a result.

    An error of a method passes through; rows measured until then stay in `file`.
    """
    if file is None:
        return _measured(jobs, None, again, log)
    place = Path(file).absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock"), "benchmark", place):
        return _measured(jobs, place, again, log)


def _measured(
    jobs: Sequence[Job], file: Path | None, again: bool, log: Callable[[str], None]
) -> list[Row]:
    stored = read_rows(file) if file is not None else []
    rows = []
    for number, job in enumerate(jobs, 1):
        same = [row for row in stored if row["job"] == asdict(job)]
        if same and not again:
            log(f"[{number}/{len(jobs)}] {job}: already measured")
            rows.append(same[0])
            continue
        log(f"[{number}/{len(jobs)}] {job}")
        row = _measure_in_process(job)
        stored = [old for old in stored if old["job"] != row["job"]] + [row]
        rows.append(row)
        if file is not None:
            write_json(str(file), {"rows": stored})
    return rows


def _measure_in_process(job: Job) -> Row:
    try:
        pool = ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=end_with_parent,
            initargs=(os.getpid(),),
        )
        with pool:
            return pool.submit(measure_row, job, partial(print, flush=True)).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"The process that measured {job} was killed, probably because memory ran out. Repeat "
            f"the measurement with more memory; rows in the JSON file are kept"
        ) from error


def measure_row(job: Job, log: Callable[[str], None] = lambda line: None) -> Row:
    """Evaluates and measures one method on one dataset, in this process.

    mIoU is computed by the code of ``ovss test``. Memory is the peak over the first images, above
    weights and text features; None if the system does not report it. Seconds are the median over
    the images, in processor time on a CPU and in wall-clock time on a GPU. FLOPs are for an image
    of the last image's size, at the mean number of categories kept.
    """
    config = config_of(job.method)
    weights = None if job.weights == "none" else job.weights
    model = build_segmentor(config, weights, job.device)
    data = open_dataset(config, job.data, job.scenes)
    memory = _memory(job, config, model, data)
    (point,) = curve(
        config, model, data, images=job.scenes, log=lambda line: log(f"  {job}: {line}")
    )
    clock = "wall" if torch.device(job.device).type == "cuda" else "processor"
    total, learnable = count_parameters(model)
    values = point.as_dict()
    return {
        "job": asdict(job),
        **{key: values[key] for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")},
        "categories": values["categories"],
        "images": values["images"],
        "kept": values["kept_per_view"]["mean"],
        "parameters": total,
        "learnable": learnable,
        "gflops": 2 * point.macs / 1e9,
        "seconds": statistics.median(getattr(span, clock) for span in point.seconds),
        "clock": clock,
        "memory": memory,
        "upper_bound": model.encoder.reads_labels,
        "made_with": made_with(job.device),
    }


@torch.inference_mode()
def _memory(
    job: Job, config: Config, model: OpenVocabSegmentor, data: SegmentationDataset
) -> int | None:
    """Peak memory in bytes, above weights and text features."""
    samples = samples_of(data, min(MEMORY_IMAGES, job.scenes))
    images = [
        (sample["inputs"].to(job.device), tuple(sample["data_samples"].ori_shape[:2]))
        for sample in samples
    ]
    text = model.encode_vocabulary(data.names)
    contender = Contender(job.method, config, model)
    clock = Clock(torch.device(job.device))
    records = [sample["data_samples"] for sample in samples]
    case = image_case(contender, job.data, text, images, records)
    case.run(clock)  # warm-up: kernels are compiled for each number of categories kept
    try:
        return peak_memory(lambda: case.run(clock), job.device).above
    except OSError:
        return None


def made_with(device: str) -> dict[str, Any]:
    """Describes the versions and the device behind a row."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "ovss": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else processor(),
        "threads": torch.get_num_threads(),
    }
