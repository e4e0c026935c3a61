"""Methods in one table, each measured on the same images, each in a process of its own."""

from __future__ import annotations

import json
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
from ovss.models.build import build_segmentor
from ovss.results.record import processor
from ovss.segmentor import OpenVocabSegmentor

from .arguments import write_json
from .clock import Clock
from .complexity import count_parameters
from .images import open_dataset, samples_of
from .memory import peak_memory
from .selection import curve
from .speed_cases import Contender, image_case
from .table_jobs import Job, config_of

MEMORY_IMAGES = 8
"""The peak is that of so many images, one after the other."""

Row = dict[str, Any]


def run(
    jobs: Sequence[Job],
    file: str | Path | None = None,
    again: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """The rows, in the order of the jobs.

    Args:
        jobs: of `plan`.
        file: JSON that keeps rows as they are made. Rows of the same job are reused.
        again: measure known rows too.
        log: receives a line of progress.

    Raises:
        ValueError: `file` is none of this kind. RuntimeError: a process ended without an answer.
        Whatever a method raises; rows made until then are kept.
    """
    known = read_rows(file) if file is not None else []
    rows = []
    for number, job in enumerate(jobs, 1):
        same = [row for row in known if row["job"] == asdict(job)]
        if same and not again:
            log(f"[{number}/{len(jobs)}] {job}: known")
            rows.append(same[0])
            continue
        log(f"[{number}/{len(jobs)}] {job}")
        row = _in_its_own_process(job)
        known = [old for old in known if old["job"] != row["job"]] + [row]
        rows.append(row)
        if file is not None:
            write_json(str(file), {"rows": known})
    return rows


def read_rows(file: str | Path) -> list[Row]:
    """Rows kept in a file; none where there is no file."""
    path = Path(file)
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())["rows"]
        if all(isinstance(row["job"], dict) for row in rows):
            return [row for row in rows if "images" in row]  # others are an older version's
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} does not hold rows of this table. Name another file, or remove it")


def _in_its_own_process(job: Job) -> Row:
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure, job, partial(print, flush=True)).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"The process that measured {job} was killed, probably because memory ran out. Run the "
            f"same command again: rows that were written to a JSON file are kept"
        ) from error


def measure(job: Job, log: Callable[[str], None] = lambda line: None) -> Row:
    """Evaluate and measure one method on one dataset, in this process.

    mIoU is of the code of ``ovss test``. Memory is what the first images add to what is held
    once weights and text features are there; None where the system does not say. Seconds are the
    median over the images: of the processor, on a GPU of the wall clock. FLOPs are of an image of
    the last one's size, at the mean number of categories kept.
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
    figures = point.as_dict()
    return {
        "job": asdict(job),
        **{key: figures[key] for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")},
        "categories": figures["categories"],
        "images": figures["images"],
        "kept": figures["kept_per_view"]["mean"],
        "parameters": total,
        "learnable": learnable,
        "gflops": 2 * point.macs / 1e9,
        "seconds": statistics.median(getattr(span, clock) for span in point.seconds),
        "clock": clock,
        "memory": memory,
        "made_with": made_with(job.device),
    }


@torch.inference_mode()
def _memory(
    job: Job, config: Config, model: OpenVocabSegmentor, data: SegmentationDataset
) -> int | None:
    """Bytes at the peak above weights and text features."""
    samples = samples_of(data, min(MEMORY_IMAGES, job.scenes))
    images = [
        (sample["inputs"].to(job.device), tuple(sample["data_samples"].ori_shape[:2]))
        for sample in samples
    ]
    text = model.encode_vocabulary(data.names)
    contender = Contender(job.method, config, model)
    clock = Clock(torch.device(job.device))
    case = image_case(contender, job.data, text, images)
    case.run(clock)  # what is made once: kernels, one for each number of categories kept
    try:
        return peak_memory(lambda: case.run(clock), job.device).above
    except OSError:
        return None


def made_with(device: str) -> dict[str, Any]:
    """Versions and device, as a reader of the table wants to know them."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "ovss": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else processor(),
        "threads": torch.get_num_threads(),
    }
