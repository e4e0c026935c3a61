"""Results as polygons for annotation tools: LabelMe and YOLO."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ovss.io.files import write_text
from ovss.io.json_text import json_text, utf8_text

from .names import unique_names
from .summary import local_path

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["TOLERANCE", "write_labelme", "write_yolo", "yolo_classes"]

TOLERANCE = 1.0
"""Distance in pixels by which outlines in annotation files may be simplified."""

LABELME_VERSION = "5.5.0"


def write_labelme(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes a LabelMe file; each connected region is a polygon.

    The file refers to the image by a relative path. An image that is not in a file is embedded.
    """
    height, width = result.label_map.shape
    source = local_path(result.source)
    shapes = [
        {
            "label": result.categories[index],
            "points": polygon.single_ring().tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for index in result.present_indices
        for polygon in result.polygons(index, tolerance=TOLERANCE)
    ]
    content = {
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": _relative(source, path),
        "imageData": None if source is not None else _embedded(result.image),
        "imageHeight": height,
        "imageWidth": width,
    }
    write_text(path, json_text(content), durable=False)


def write_yolo(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes one line per connected region: index of the category and a polygon in 0..1."""
    height, width = result.label_map.shape
    lines = []
    for index in result.present_indices:
        for polygon in result.polygons(index, tolerance=TOLERANCE):
            points_N2 = (polygon.single_ring() / (width, height)).clip(0, 1)
            lines.append(" ".join([str(index), *(f"{value:.6f}" for value in points_N2.ravel())]))
    write_text(path, "".join(line + "\n" for line in lines), durable=False)


def yolo_classes(categories: Sequence[str]) -> str:
    """Text of ``classes.txt``: one name per line, in the order of the indices."""
    return utf8_text("".join(name + "\n" for name in unique_names(categories)))


def _relative(source: str | None, path: Path) -> str:
    if source is None:
        return f"{path.stem}.png"
    try:
        return Path(os.path.relpath(source, path.parent)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(source).absolute().as_posix()


def _embedded(image_HW3: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image_HW3).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
