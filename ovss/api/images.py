"""Results as PNGs: the overlay, the label map, and masks in the style of PASCAL VOC and CVAT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ovss.drawing.colors import palette
from ovss.drawing.overlay import label_image
from ovss.io.files import write_atomic
from ovss.io.json_text import utf8_text
from ovss.io.outputs import save_png

from .names import unique_names

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["voc_labelmap", "write_label_png", "write_overlay", "write_voc"]

BACKGROUND = (0, 0, 0)
"""Colour of unknown pixels in masks of VOC style; no category has it."""


def write_overlay(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes the drawing of a result as PNG."""
    write_atomic(path, partial(save_png, result.draw(**drawing)), durable=False)


def write_label_png(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes the label map as PNG; see `ovss.drawing.overlay.label_image`."""
    write_atomic(
        path, partial(save_png, label_image(result.label_map, result.colors)), durable=False
    )


def write_voc(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes a mask whose colours `voc_labelmap` lists.

    For up to 254 categories it is a palette image as in PASCAL VOC: 0 is background (here the
    unknown pixels), i + 1 is category i. For more it is an RGB image.
    """
    count = len(result.categories)
    colors_T3 = np.concatenate([np.array([BACKGROUND], np.uint8), result.colors])
    shifted_HW = result.label_map.astype(np.int64) + 1
    if count <= 254:
        image = label_image(shifted_HW, colors_T3)
    else:
        image = Image.fromarray(colors_T3[shifted_HW])
    write_atomic(path, partial(save_png, image), durable=False)


def voc_labelmap(categories: Sequence[str]) -> str:
    """Text of ``labelmap.txt``, which tells CVAT and Datumaro the colours of the categories."""
    lines = ["# label:color_rgb:parts:actions"]
    names = [name.replace(":", " ") for name in unique_names(categories)]
    names = ["background (category)" if name == "background" else name for name in names]
    lines.append(f"background:{','.join(map(str, BACKGROUND))}::")
    for name, color in zip(unique_names(names), palette(len(names)).tolist()):
        lines.append(f"{name}:{','.join(map(str, color))}::")
    return utf8_text("\n".join(lines) + "\n")
