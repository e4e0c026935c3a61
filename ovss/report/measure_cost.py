"""Cost cell: time, memory and FLOPs of an image at one size of the vocabulary."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

from ovss.benchmark.clock import Clock
from ovss.benchmark.complexity import complexity
from ovss.benchmark.images import open_dataset, samples_of
from ovss.benchmark.speed_cases import Contender, image_case
from ovss.benchmark.stand_ins import text_bytes
from ovss.benchmark.table import clock_of, made_with, peak_of_case
from ovss.models.build import build_segmentor

from .cells import CellJob
from .identity import cell_protocol, settled_config

__all__ = ["COST_IMAGES", "COST_ROUNDS", "measure_cost"]

COST_IMAGES = 8
"""Number of images, one after the other, of a round."""

COST_ROUNDS = 3
"""Number of rounds. The time is the least mean of a round, because noise only adds to a time."""


@torch.inference_mode()
def measure_cost(job: CellJob, log: Callable[[str], None]) -> dict[str, Any]:
    """Values of a cost cell: trained weights, images of the dataset, the names of the job.

    Text features are counted apart: they are made once for a vocabulary, and not with an image.
    """
    config, protocol = settled_config(job)
    weights = None if job.weights == "none" else job.weights
    model = build_segmentor(config, weights, job.device)
    data = open_dataset(config, None, job.images)
    clock, kind = Clock(torch.device(job.device)), clock_of(job.device)
    model.encode_vocabulary(("warm-up",))
    text_span, _ = clock.time(lambda: model.encode_vocabulary(job.names))
    text = model.encode_vocabulary(job.names)
    samples = samples_of(data, min(COST_IMAGES, job.images))
    images = [
        (sample["inputs"].to(job.device), tuple(sample["data_samples"].ori_shape[:2]))
        for sample in samples
    ]
    records = [sample["data_samples"] for sample in samples]
    case = image_case(Contender(job.method, config, model), "names", text, images, records)
    case.run(Clock(torch.device(job.device)))  # warm-up
    for _ in range(COST_ROUNDS):
        case.measure(clock)
    memory = peak_of_case(case, job.device)
    kept = case.kept or 0.0
    height, width = images[0][0].shape[-2:]
    count = min(len(job.names), max(1, round(kept)))
    work = complexity(config, job.names, count, (height, width))
    return {
        "names": len(job.names),
        "seconds": case.best(kind),
        "all_seconds": case.times(kind),
        "median_seconds": statistics.median(case.times(kind)),
        "clock": kind,
        "memory": memory,
        "kept": kept,
        "gflops": work.as_dict()["all_but_text"]["per_image"] / 1e9,
        "text_seconds": getattr(text_span, kind),
        "text_bytes": text_bytes(text),
        "text_gflops": work.stages["text"].per_view / 1e9,
        "templates": text.num_templates,
        "image_size": [height, width],
        "images": len(images),
        "protocol": cell_protocol(protocol),
        "made_with": made_with(job.device),
    }
