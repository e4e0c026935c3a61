"""Names of categories written on their regions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from .fonts import displayable
from .legend import font_size
from .text import LONGEST, draw_text, text_width

__all__ = ["write_names"]

GRID = 480  # px: places are searched on a label map of at most this size
ROOM = 0.6  # free distance around the middle of a name that a region needs, in font sizes
LIGHT, DARK = (255, 255, 255), (20, 20, 22)


def write_names(
    image: Image.Image, labels_HW: np.ndarray, names: Mapping[int, str], size: int | None = None
) -> Image.Image:
    """Writes the name of each category on its largest region.

    A name is centred on the point farthest from the region's edge. It never leaves the image and
    never covers another name: a name that finds no such place in its region is left out.

    Args:
        image: drawing of the size of the label map.
        labels_HW: category index of each pixel.
        names: category index -> name; others stay without a name.
        size: font size in pixels; None: in proportion to the image.
    """
    size = size or font_size(*image.size)
    image = image.copy()
    draw = ImageDraw.Draw(image)
    step = max(1, -(-max(labels_HW.shape) // GRID))
    small_HW = labels_HW[step // 2 :: step, step // 2 :: step]
    blocked: list[tuple[float, float, float, float]] = []
    for label, area in sorted(zip(*np.unique(small_HW, return_counts=True)), key=lambda x: -x[1]):
        if int(label) not in names or area * step**2 < (ROOM * size) ** 2:
            continue
        text = displayable(names[int(label)][:LONGEST], f"category {int(label)}")
        box = text_width(text, size) + size // 2, round(size * 1.4)
        place = _place(small_HW == label, step, box, image.size, blocked, ROOM * size)
        if place is None:
            continue
        x, y = place
        blocked.append((x - box[0] / 2, y - box[1] / 2, x + box[0] / 2, y + box[1] / 2))
        draw_text(draw, x - box[0] / 2 + size // 4, y, text, size, LIGHT, DARK)
    return image


def _place(
    mask_hw: np.ndarray,
    step: int,
    box: tuple[int, int],
    image_size: tuple[int, int],
    blocked: list[tuple[float, float, float, float]],
    room: float,
) -> tuple[float, float] | None:
    """Middle of a text box in pixels, or None if the largest region has no place for it."""
    import cv2

    count, parts_hw, stats, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    region_hw = np.pad((parts_hw == largest).astype(np.uint8), 1)  # the image's edge is an edge
    free_hw = cv2.distanceTransform(region_hw, cv2.DIST_L2, 5)[1:-1, 1:-1] * step
    y_h, x_w = ((np.arange(n) + 0.5) * step for n in mask_hw.shape)
    half_w, half_h = box[0] / 2, box[1] / 2
    width, height = image_size
    inside_w = (x_w >= half_w) & (x_w <= width - half_w)
    inside_h = (y_h >= half_h) & (y_h <= height - half_h)
    free_hw = free_hw * inside_w * inside_h[:, None]
    for left, top, right, bottom in blocked:
        across_w = (x_w > left - half_w) & (x_w < right + half_w)
        down_h = (y_h > top - half_h) & (y_h < bottom + half_h)
        free_hw = np.where(across_w & down_h[:, None], 0, free_hw)
    row, column = np.unravel_index(int(free_hw.argmax()), free_hw.shape)
    if free_hw[row, column] < room:
        return None
    return float(x_w[column]), float(y_h[row])
