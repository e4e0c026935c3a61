"""Drawing of a result: tinted image, names on regions, legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ovss.drawing.colors import PAPER, UNKNOWN_COLOR
from ovss.drawing.legend import LegendEntry, add_legend, font_size
from ovss.drawing.overlay import enlarge_small, overlay, sampled_labels
from ovss.drawing.region_names import write_names
from ovss.vocabularies.vocabulary import IGNORE

from .names import short_names

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["draw_result"]


def draw_result(
    result: SegmentationResult, opacity: float, legend: bool, names: bool, side_by_side: bool
) -> Image.Image:
    """Draws a result; see `SegmentationResult.draw`."""
    image_HW3 = result.image
    labels_HW = sampled_labels(result.label_map, image_HW3.shape[:2])
    if legend:
        image_HW3, labels_HW = enlarge_small(image_HW3), enlarge_small(labels_HW)
    labels = short_names(result.categories)
    drawing = overlay(image_HW3, labels_HW, result.colors, opacity)
    size = font_size(*drawing.size)
    if names:
        drawing = write_names(drawing, labels_HW, dict(enumerate(labels)), size)
    if side_by_side:
        drawing = _paired(Image.fromarray(image_HW3), drawing)
    if not legend:
        return drawing
    return add_legend(drawing, _entries(result, labels), result.note, size)


def _paired(left: Image.Image, right: Image.Image) -> Image.Image:
    gap = max(4, right.width // 100)
    sheet = Image.new("RGB", (left.width + gap + right.width, right.height), PAPER)
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + gap, 0))
    return sheet


def _entries(result: SegmentationResult, labels: tuple[str, ...]) -> list[LegendEntry]:
    entries = []
    for i in result.present_indices:
        red, green, blue = result.colors[i].tolist()
        share = float(result.pixels[i]) / result.label_map.size
        entries.append(LegendEntry(labels[i], (red, green, blue), share, i))
    unknown = float(np.mean(result.label_map == IGNORE))
    if unknown:
        entries.append(LegendEntry("unknown", UNKNOWN_COLOR, unknown))
    return entries
