"""Label maps as pictures: colours, overlay, legend. Needs numpy and Pillow only."""

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
SHADES = ((0.75, 0.95), (0.95, 0.60), (0.55, 0.85))  # saturation, value; three of them, since
# hues 5, 8 and 13 steps apart come close, and none of these is a multiple of three
SMALLEST = 240  # px: smaller pictures are drawn enlarged, so that the legend does not dwarf them
FEWEST_ROWS = 8  # of a legend that would be taller than its picture: the rest share one line
SPARE_COLORS = 256
MOST_DISTINCT = 40  # categories of a picture: more colours than that cannot be told apart
LIKE_COLORS = 130  # sum of channel differences below which two colours look alike when blended
INK, PAPER, FAINT = (28, 28, 30), (250, 250, 248), (150, 150, 150)


class LegendEntry(NamedTuple):
    """One line of a legend: what it is called, its colour, its part of the pixels (0..1)."""

    name: str
    color: tuple[int, int, int]
    share: float


def palette(count: int) -> np.ndarray:
    """(count, 3) RGB uint8: colour i is the same whatever `count`, and none is black.

    Hues step by the golden ratio, which keeps any run of them apart; saturation and brightness
    cycle beside them, and drift on long lists.

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


def distinct_palette(count: int, shown: Sequence[int]) -> np.ndarray:
    """`palette(count)`, changed where two categories of one picture would look alike.

    Args:
        count: T.
        shown: the picture's categories, the most important first: it keeps its colour, and a later
            one that comes too close to any before takes the first spare colour that does not.

    Returns:
        (count, 3) RGB uint8.
    """
    spare = palette(count + SPARE_COLORS).astype(int)
    colors, used = spare[:count].copy(), np.empty((0, 3), int)
    for index in shown[:MOST_DISTINCT]:
        wanted = np.concatenate([colors[index : index + 1], spare])
        apart = np.abs(wanted[:, None] - used).sum(2).min(1, initial=LIKE_COLORS)
        colors[index] = wanted[apart.argmax()]
        used = np.concatenate([used, colors[index : index + 1]])
    return colors.astype(np.uint8)


def enlarge_small(image_HWC: np.ndarray) -> np.ndarray:
    """A picture or label map whose larger side is below 240 pixels, repeated until it is not."""
    factor = math.ceil(SMALLEST / max(image_HWC.shape[:2]))
    return image_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def label_image(labels_HW: np.ndarray, colors_T3: np.ndarray) -> Image.Image:
    """Label map as an image whose pixel values are the labels.

    Args:
        labels_HW: integers in 0..T-1.
        colors_T3: RGB uint8 of each category.

    Returns:
        mode P with these colours up to 256 categories, 16-bit grey beyond.
    """
    count = len(colors_T3)
    if labels_HW.size and not 0 <= int(labels_HW.min()) <= int(labels_HW.max()) < count:
        raise ValueError(
            f"labels from {labels_HW.min()} to {labels_HW.max()} outside 0..{count - 1}"
        )
    if count > 256:
        return Image.fromarray(labels_HW.astype(np.uint16))
    image = Image.fromarray(labels_HW.astype(np.uint8))
    image.putpalette(colors_T3.tobytes())
    return image


def overlay(
    image_HW3: np.ndarray, labels_HW: np.ndarray, colors_T3: np.ndarray, opacity: float = 0.55
) -> Image.Image:
    """The picture tinted by category, with a fine light line where categories meet.

    Args:
        image_HW3: RGB uint8.
        labels_HW: integers, one per pixel of the picture.
        colors_T3: RGB uint8 of each category.
        opacity: 0 shows the picture only, 1 the colours only.
    """
    if image_HW3.shape[:2] != labels_HW.shape:
        raise ValueError(
            f"a label map of {labels_HW.shape} does not fit a picture of {image_HW3.shape[:2]}"
        )
    # Pillow blends in 8 bits: no float copy of a picture that may be huge
    tint = Image.fromarray(colors_T3[labels_HW])
    blended = np.array(Image.blend(Image.fromarray(image_HW3), tint, opacity))
    blended[_borders(labels_HW)] = PAPER
    return Image.fromarray(blended)


def _borders(labels_HW: np.ndarray) -> np.ndarray:
    """True on the upper or left of two neighbours that differ; thicker on large pictures."""
    edge_HW = np.zeros(labels_HW.shape, dtype=bool)
    if min(labels_HW.shape) < SMALLEST / 4:
        return edge_HW  # a line would cover what it should set off
    width = max(1, round(min(labels_HW.shape) / 600))
    for step in range(1, width + 1):
        edge_HW[:-step] |= labels_HW[:-step] != labels_HW[step:]
        edge_HW[:, :-step] |= labels_HW[:, :-step] != labels_HW[:, step:]
    return edge_HW


def add_legend(picture: Image.Image, entries: Sequence[LegendEntry]) -> Image.Image:
    """The picture over a panel that names its categories, largest first.

    Type is sized by the picture, never under 13 px; a picture too small for its legend is
    enlarged or set on a wider sheet, and a legend that would be taller than the picture is cut:
    the smallest categories share its last line.
    """
    picture = Image.fromarray(enlarge_small(np.asarray(picture)))
    if not entries:
        return picture
    entries = sorted(entries, key=lambda entry: -entry.share)
    size = max(13, round(math.sqrt(picture.width * picture.height) / 42))
    font = ImageFont.load_default(size)
    gap, line = size // 2, round(size * 1.5)
    text_width = max(font.getlength(_text(entry)) for entry in entries)
    cell = math.ceil(text_width) + line + 2 * gap
    width = max(picture.width, cell + gap)
    columns = max(1, (width - gap) // cell)
    entries = _shorten(entries, columns * max(FEWEST_ROWS, picture.height // line))
    columns = min(columns, len(entries))
    rows = math.ceil(len(entries) / columns)
    sheet = Image.new("RGB", (width, picture.height + rows * line + 2 * gap), PAPER)
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for i, entry in enumerate(entries):
        x = gap + i // rows * cell
        y = picture.height + gap + i % rows * line
        box = (x, y + line * 0.15, x + line * 0.7, y + line * 0.85)
        draw.rectangle(box, fill=entry.color, outline=FAINT)
        draw.text((x + line, y + line / 2), _text(entry), fill=INK, font=font, anchor="lm")
    return sheet


def _shorten(entries: list[LegendEntry], most: int) -> list[LegendEntry]:
    if len(entries) <= most:
        return entries
    rest = entries[most - 1 :]
    share = sum(entry.share for entry in rest)
    return [*entries[: most - 1], LegendEntry(f"{len(rest)} more", PAPER, share)]


def _text(entry: LegendEntry) -> str:
    share = f"{entry.share * 100:.1f} %" if entry.share >= 0.0005 else "< 0.1 %"
    return f"{entry.name}  {share}"
