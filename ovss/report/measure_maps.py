"""Cells of examples: images with their ground truth, and label maps of a method."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ovss.benchmark.comparison_sheet import label_maps, read_scenes
from ovss.benchmark.images import open_dataset
from ovss.drawing.overlay import sampled_labels
from ovss.models.build import build_segmentor
from ovss.selection import IGNORE

from .cells import CellJob
from .identity import settled_config

__all__ = ["EXAMPLE_SIDE", "decoded_image", "decoded_labels", "measure_maps", "measure_scenes"]

EXAMPLE_SIDE = 192
"""Largest side of an example in pixels; larger images are made smaller for the page."""


def measure_maps(job: CellJob, log: Callable[[str], None]) -> dict[str, Any]:
    """Label maps of the images whose numbers the job names."""
    config, _ = settled_config(job)
    weights = None if job.weights == "none" else job.weights
    model = build_segmentor(config, weights, job.device)
    scenes = read_scenes(open_dataset(config, None, job.images), job.numbers)
    maps = label_maps(model, scenes, job.device)
    return {"maps": [_encoded_labels(labels_HW) for labels_HW in maps]}


def measure_scenes(job: CellJob, log: Callable[[str], None]) -> dict[str, Any]:
    """Images whose numbers the job names, with their ground truth and the names of categories."""
    config, _ = settled_config(job)
    scenes = read_scenes(open_dataset(config, None, job.images), job.numbers)
    images = []
    for image_HW3 in scenes.images:
        image = Image.fromarray(image_HW3)
        image.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
        images.append(_encoded(image))
    return {
        "images": images,
        "truth": [_encoded_labels(labels_HW) for labels_HW in scenes.truth],
        "names": list(scenes.names),
        "seen": scenes.seen_T.tolist(),
    }


def _encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def _encoded_labels(labels_HW: np.ndarray) -> str:
    """Label map as a PNG of 16 bits; pixels without a label are 0, category t is t + 1."""
    height, width = labels_HW.shape
    scale = min(1.0, EXAMPLE_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small_HW = sampled_labels(labels_HW, size)
    values_HW = np.where(small_HW == IGNORE, 0, small_HW + 1)
    return _encoded(Image.fromarray(values_HW.astype(np.uint16)))


def decoded_image(text: str) -> np.ndarray:
    """Image of a cell, uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def decoded_labels(text: str) -> np.ndarray:
    """Label map of a cell (H, W), `IGNORE` where nothing is labelled."""
    values_HW = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(np.int64)
    return np.where(values_HW == 0, IGNORE, values_HW - 1)
