"""Legend of a drawing: colours, names and shares of the categories, and a note."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from .colors import INK, PAPER
from .fonts import displayable
from .text import LONGEST, cut_text, draw_text, text_width, wrapped

__all__ = ["LegendEntry", "add_legend", "font_size"]

MIN_SIDE = 240  # px: smaller images are enlarged, so that the legend does not dwarf them
MIN_ROWS = 8  # legend rows that are always allowed, even where the legend is taller than the image
FAINT = (150, 150, 150)


class LegendEntry(NamedTuple):
    """One legend entry: category name, colour, share of the pixels (0..1), number (index).

    The number replaces a name that no font can show; None: the name is plain.
    """

    name: str
    color: tuple[int, int, int]
    share: float
    number: int | None = None


def font_size(width: int, height: int) -> int:
    """Size in pixels of the text of a drawing: in proportion to it and never too small to read."""
    return max(13, round(math.sqrt(width * height) / 42))


def add_legend(
    image: Image.Image, entries: Sequence[LegendEntry], note: str = "", size: int | None = None
) -> Image.Image:
    """Adds a legend below an image that names its categories, the largest first.

    An image that is too small for its legend is enlarged, or placed on a wider sheet. A legend that
    would be taller than the image is shortened: the smallest categories are summed up in its last
    entry.

    Args:
        image: drawing to add the legend to.
        entries: categories to name.
        note: text for the last lines.
        size: font size in pixels; None: in proportion to the image.
    """
    factor = math.ceil(MIN_SIDE / max(image.size))
    image = image.resize(
        (image.width * factor, image.height * factor), Image.Resampling.NEAREST
    ).convert("RGB")
    if not entries and not note:
        return image
    size = size or font_size(*image.size)
    gap, line = size // 2, round(size * 1.5)
    rows = _rows(entries, size, max(image.width, 30 * size))
    cell = max((line + text_width(row.name, size) + gap + row.width for row in rows), default=1)
    cell += 2 * gap
    width = max(image.width, (cell + gap) * bool(rows))
    columns = max(1, (width - gap) // cell)
    rows = _shorten(rows, columns * max(MIN_ROWS, image.height // line))
    lines = math.ceil(len(rows) / min(columns, max(1, len(rows))))
    notes = wrapped(displayable(note, "see the note in the JSON file"), size, width - 2 * gap)
    height = image.height + (lines + len(notes)) * line + 2 * gap
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(image, ((width - image.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        x = gap + i // lines * cell
        y = image.height + gap + i % lines * line
        box = (x, y + line * 0.15, x + line * 0.7, y + line * 0.85)
        draw.rectangle(box, fill=row.color, outline=FAINT)
        # two texts, because a name that runs from right to left would turn the number around
        draw_text(draw, x + line, y + line / 2, row.name, size, INK)
        share_left = x + line + text_width(row.name, size) + gap
        draw_text(draw, share_left, y + line / 2, _percent(row.share), size, INK)
    for i, text in enumerate(notes):
        draw_text(draw, gap, image.height + gap + (lines + i + 0.5) * line, text, size, INK)
    return sheet


class _Row(NamedTuple):
    name: str
    color: tuple[int, int, int]
    share: float
    width: int  # of the share, px


def _rows(entries: Sequence[LegendEntry], size: int, width: int) -> list[_Row]:
    rows = []
    for name, color, share, number in sorted(entries, key=lambda entry: -entry.share):
        name = displayable(name[:LONGEST], "unnamed" if number is None else f"category {number}")
        share_width = text_width(_percent(share), size)
        rows.append(_Row(cut_text(name, size, width), color, share, share_width))
    return rows


def _shorten(rows: list[_Row], most: int) -> list[_Row]:
    if len(rows) <= most:
        return rows
    rest = rows[most - 1 :]  # one row stands for these
    last = _Row(f"{len(rest)} more", PAPER, sum(row.share for row in rest), rest[0].width)
    return [*rows[: most - 1], last]


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.0005 else "< 0.1 %"
