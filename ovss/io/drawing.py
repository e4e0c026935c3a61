"""Drawing of label maps: colours, overlay and legend. Needs only numpy and Pillow."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "LegendEntry",
    "add_legend",
    "distinct_palette",
    "enlarge_small",
    "label_image",
    "overlay",
    "palette",
]

GOLDEN = (math.sqrt(5) - 1) / 2
# (saturation, value). Golden-ratio hues are close together at 5, 8 and 13 steps. With three shades
# such neighbours never share a shade, because none of these numbers is a multiple of three.
SHADES = ((0.75, 0.95), (0.95, 0.60), (0.55, 0.85))
MIN_SIDE = 240  # px: smaller images are drawn enlarged, so that the legend does not dwarf them
MIN_ROWS = 8  # legend rows that are always allowed, even where the legend is taller than the image
SPARE_COLORS = 256
MAX_DISTINCT = 40  # categories per image that get distinct colours; people cannot separate more
MIN_DISTANCE = 130  # sum of channel differences below which two blended colours look alike
INK, PAPER, FAINT = (28, 28, 30), (250, 250, 248), (150, 150, 150)


class LegendEntry(NamedTuple):
    """One legend entry: category name, colour, and share of the pixels (0..1)."""

    name: str
    color: tuple[int, int, int]
    share: float


def palette(count: int) -> np.ndarray:
    """Colours for `count` categories, (count, 3) RGB uint8.

    Colour i does not depend on `count`, and no colour is black. Hues step by the golden ratio,
    which keeps consecutive ones apart. Saturation and brightness cycle as well, and shift slowly
    in long lists so that no colour repeats.

    >>> len({tuple(color) for color in palette(1000).tolist()})
    1000
    """
    colors = np.empty((count, 3))
    for i in range(count):
        saturation, value = SHADES[i % len(SHADES)]
        saturation -= i // 21 % 7 * 0.02
        value -= i // 21 % 11 * 0.02
        colors[i] = colorsys.hsv_to_rgb((0.02 + i * GOLDEN) % 1, saturation, value)
    return (colors * 255).round().astype(np.uint8)


def distinct_palette(count: int, indices: Sequence[int]) -> np.ndarray:
    """Palette in which the categories of one image have clearly different colours.

    Starts from `palette(count)`. A category whose colour is too close to that of an earlier one
    gets the first spare colour that is not.

    Args:
        count: number of categories T.
        indices: categories that the image shows, the most important first.

    Returns:
        (count, 3) RGB uint8.
    """
    spare = palette(count + SPARE_COLORS).astype(int)
    colors, used = spare[:count].copy(), np.empty((0, 3), int)
    for index in indices[:MAX_DISTINCT]:
        candidates = np.concatenate([colors[index : index + 1], spare])
        # distances are capped at MIN_DISTANCE, so argmax finds the first colour that is far enough
        distance = np.abs(candidates[:, None] - used).sum(2).min(1, initial=MIN_DISTANCE)
        colors[index] = candidates[distance.argmax()]
        used = np.concatenate([used, colors[index : index + 1]])
    return colors.astype(np.uint8)


def enlarge_small(image_HWC: np.ndarray) -> np.ndarray:
    """Enlarges an image or label map by a whole factor to at least 240 pixels on the larger side.

    Pixels are repeated. Larger images are returned unchanged.
    """
    factor = math.ceil(MIN_SIDE / max(image_HWC.shape[:2]))
    return image_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def label_image(labels_HW: np.ndarray, colors_T3: np.ndarray) -> Image.Image:
    """Converts a label map to an image whose pixel values are the labels.

    Args:
        labels_HW: category indices in 0..T-1.
        colors_T3: RGB uint8 colours of the categories.

    Returns:
        Palette image (mode P) with these colours for up to 256 categories, else a 16-bit grey
        image.

    Raises:
        ValueError: a label lies outside 0..T-1.
    """
    count = len(colors_T3)
    if labels_HW.size and not 0 <= int(labels_HW.min()) <= int(labels_HW.max()) < count:
        raise ValueError(
            f"labels lie in {labels_HW.min()}..{labels_HW.max()}, which is outside 0..{count - 1}"
        )
    if count > 256:
        return Image.fromarray(labels_HW.astype(np.uint16))
    image = Image.fromarray(labels_HW.astype(np.uint8))
    image.putpalette(colors_T3.tobytes())
    return image


def overlay(
    image_HW3: np.ndarray, labels_HW: np.ndarray, colors_T3: np.ndarray, opacity: float = 0.55
) -> Image.Image:
    """Tints an image by category and draws a thin light line where categories meet.

    Args:
        image_HW3: image, RGB uint8.
        labels_HW: category index of each pixel.
        colors_T3: RGB uint8 colours of the categories.
        opacity: weight of the colours; 0 shows only the image, 1 only the colours.

    Raises:
        ValueError: the label map and the image differ in size.
    """
    if image_HW3.shape[:2] != labels_HW.shape:
        raise ValueError(
            f"a label map of (height, width) {labels_HW.shape} does not fit an image of "
            f"{image_HW3.shape[:2]}"
        )
    # Pillow blends in 8 bits, which avoids a float copy of a large image
    tint = Image.fromarray(colors_T3[labels_HW])
    blended = np.array(Image.blend(Image.fromarray(image_HW3), tint, opacity))
    blended[_borders(labels_HW)] = PAPER
    return Image.fromarray(blended)


def _borders(labels_HW: np.ndarray) -> np.ndarray:
    """Mask of borders: True on the upper or left of two different neighbours.

    The lines are thicker on large images.
    """
    edge_HW = np.zeros(labels_HW.shape, dtype=bool)
    if min(labels_HW.shape) < MIN_SIDE / 4:
        return edge_HW  # in an image this small, lines would cover the regions
    width = max(1, round(min(labels_HW.shape) / 600))
    for step in range(1, width + 1):
        edge_HW[:-step] |= labels_HW[:-step] != labels_HW[step:]
        edge_HW[:, :-step] |= labels_HW[:, :-step] != labels_HW[:, step:]
    return edge_HW


def add_legend(image: Image.Image, entries: Sequence[LegendEntry]) -> Image.Image:
    """Adds a legend below an image that names its categories, the largest first.

    The font size follows the image size and is at least 13 pixels. An image that is too small for
    its legend is enlarged, or placed on a wider sheet. A legend that would be taller than the image
    is shortened: the smallest categories are summed up in its last entry.
    """
    image = Image.fromarray(enlarge_small(np.asarray(image)))
    if not entries:
        return image
    entries = sorted(entries, key=lambda entry: -entry.share)
    size = max(13, round(math.sqrt(image.width * image.height) / 42))
    font = ImageFont.load_default(size)
    gap, line = size // 2, round(size * 1.5)
    text_width = max(font.getlength(_text(entry)) for entry in entries)
    cell = math.ceil(text_width) + line + 2 * gap
    width = max(image.width, cell + gap)
    columns = max(1, (width - gap) // cell)
    entries = _shorten(entries, columns * max(MIN_ROWS, image.height // line))
    columns = min(columns, len(entries))
    rows = math.ceil(len(entries) / columns)
    sheet = Image.new("RGB", (width, image.height + rows * line + 2 * gap), PAPER)
    sheet.paste(image, ((width - image.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for i, entry in enumerate(entries):
        x = gap + i // rows * cell
        y = image.height + gap + i % rows * line
        box = (x, y + line * 0.15, x + line * 0.7, y + line * 0.85)
        draw.rectangle(box, fill=entry.color, outline=FAINT)
        draw.text((x + line, y + line / 2), _text(entry), fill=INK, font=font, anchor="lm")
    return sheet


def _shorten(entries: list[LegendEntry], most: int) -> list[LegendEntry]:
    if len(entries) <= most:
        return entries
    rest = entries[most - 1 :]  # one entry stands for these
    share = sum(entry.share for entry in rest)
    return [*entries[: most - 1], LegendEntry(f"{len(rest)} more", PAPER, share)]


def _text(entry: LegendEntry) -> str:
    share = f"{entry.share * 100:.1f} %" if entry.share >= 0.0005 else "< 0.1 %"
    return f"{entry.name}  {share}"
