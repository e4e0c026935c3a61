"""Legend of a drawing: colours, names and shares of the categories, and a note."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from .colors import INK, PAPER
from .fonts import displayable
from .text import draw_text, text_width, wrapped

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
    entries = sorted(entries, key=lambda entry: -entry.share)
    names = [
        displayable(e.name, "unnamed" if e.number is None else f"category {e.number}")
        for e in entries
    ]
    texts = [(name, _percent(entry.share)) for name, entry in zip(names, entries)]
    name_width = max((text_width(name, size) for name, _ in texts), default=0)
    share_width = max((text_width(share, size) for _, share in texts), default=0)
    cell = line + name_width + gap + share_width + 2 * gap
    width = max(image.width, (cell if entries else 0) + gap)
    columns = max(1, (width - gap) // cell)
    rows_allowed = columns * max(MIN_ROWS, image.height // line)
    entries, texts = _shorten(entries, texts, rows_allowed)
    rows = math.ceil(len(entries) / min(columns, max(1, len(entries))))
    notes = wrapped(displayable(note, "see the note in the JSON file"), size, width - 2 * gap)
    height = image.height + (rows + len(notes)) * line + 2 * gap
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(image, ((width - image.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for i, (entry, (name, share)) in enumerate(zip(entries, texts)):
        x = gap + i // rows * cell
        y = image.height + gap + i % rows * line
        box = (x, y + line * 0.15, x + line * 0.7, y + line * 0.85)
        draw.rectangle(box, fill=entry.color, outline=FAINT)
        draw_text(draw, x + line, y + line / 2, name, size, INK)
        share_left = x + line + text_width(name, size) + gap
        draw_text(draw, share_left, y + line / 2, share, size, INK)
    for i, text in enumerate(notes):
        draw_text(draw, gap, image.height + gap + (rows + i + 0.5) * line, text, size, INK)
    return sheet


def _shorten(
    entries: list[LegendEntry], texts: list[tuple[str, str]], most: int
) -> tuple[list[LegendEntry], list[tuple[str, str]]]:
    if len(entries) <= most:
        return entries, texts
    rest = entries[most - 1 :]  # one entry stands for these
    last = LegendEntry(f"{len(rest)} more", PAPER, sum(entry.share for entry in rest))
    kept = most - 1
    return [*entries[:kept], last], [*texts[:kept], (last.name, _percent(last.share))]


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.0005 else "< 0.1 %"
