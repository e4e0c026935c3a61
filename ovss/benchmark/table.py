"""Table of methods, each measured on the same images and in its own process."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss import __version__
from ovss.data.base import SegmentationDataset
from ovss.io.locks import FileLock
from ovss.models.build import build_segmentor
from ovss.results.record import processor
from ovss.segmentor import OpenVocabSegmentor

from .arguments import write_json
from .clock import Clock
from .complexity import count_parameters
from .images import open_dataset, samples_of
from .kept import Point
from .memory import peak_memory
from .own_process import call_in_process
from .row_checks import read_rows
from .selection import Observer, curve, ignore_image
from .speed import Case
from .speed_cases import Contender, image_case
from .table_jobs import Job, config_of

MEMORY_IMAGES = 8
"""Number of images, one after the other, over which the memory peak is taken."""

MEMORY_RUNS = 3
"""Number of peaks, of which the median is reported."""

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
    row: Row = call_in_process(measure_row, job, partial(print, flush=True), subject=str(job))
    return row


def measure_row(job: Job, log: Callable[[str], None] = lambda line: None) -> Row:
    """Evaluates and measures one method on one dataset, in this process.

    mIoU is computed by the code of ``ovss test``. Memory is the peak over the first images, above
    weights and text features; None if the system does not report it. Seconds are the median over
    the images, in processor time on a CPU and in wall-clock time on a GPU. FLOPs are for an image
    of the last image's size, at the mean number of categories kept.
    """
    return evaluated(job, config_of(job.method), job.data, log).row


@dataclass(frozen=True)
class Evaluated:
    """Outcome of `evaluated`.

    Args:
        row: row of the table.
        point: pixel counts, and what the selector kept.
        model: evaluated model.
        data: dataset.
    """

    row: Row
    point: Point
    model: OpenVocabSegmentor
    data: SegmentationDataset


def evaluated(
    job: Job,
    config: Config,
    data_name: str | None,
    log: Callable[[str], None] = lambda line: None,
    observe: Observer = ignore_image,
) -> Evaluated:
    """Evaluates and measures a method, see `measure_row`.

    Args:
        job: job of the row.
        config: config of its method.
        data_name: dataset to evaluate on; None for that of `config`.
        log: callback for lines of progress.
        observe: callback for each image.
    """
    weights = None if job.weights == "none" else job.weights
    model = build_segmentor(config, weights, job.device)
    data = open_dataset(config, data_name, job.scenes)
    (point,) = curve(
        config,
        model,
        data,
        images=job.scenes,
        log=lambda line: log(f"  {job}: {line}"),
        observe=observe,
    )
    memory = _memory(job, config, model, data)  # not before the images are timed, see peak_memory
    return Evaluated(_row(job, model, point, memory), point, model, data)


def _row(job: Job, model: OpenVocabSegmentor, point: Point, memory: int | None) -> Row:
    clock = clock_of(job.device)
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


def clock_of(device: str) -> str:
    """Clock that times a device: ``wall`` for a GPU, ``processor`` for a CPU."""
    return "wall" if torch.device(device).type == "cuda" else "processor"


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
    records = [sample["data_samples"] for sample in samples]
    return peak_of_case(image_case(contender, job.data, text, images, records), job.device)


def peak_of_case(case: Case, device: str) -> int | None:
    """Peak memory of a case in bytes, median of three runs; None if the system does not tell."""
    clock = Clock(torch.device(device))
    case.run(clock)  # warm-up: kernels are compiled for each number of categories kept
    try:
        peaks = [peak_memory(lambda: case.run(clock), device).above for _ in range(MEMORY_RUNS)]
    except OSError:
        return None
    return statistics.median_low(peaks)


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
