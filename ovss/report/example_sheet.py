"""Example images of a report on one sheet, for formats that cannot hold tiles."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ovss.drawing.fonts import displayable
from ovss.drawing.text import cut_text, draw_text, text_width

from .document import Examples

__all__ = ["example_sheet"]

SIDE, MARGIN, LINE = 120, 8, 16
FONT_SIZES = (11, 10, 9, 8)
PAPER, INK = (255, 255, 255), (20, 20, 20)


def example_sheet(examples: Examples) -> bytes:
    """PNG with one row of tiles for each image: title, image and caption.

    The longest text sets the size of all; one that is too long for the smallest size is cut.
    """
    width = max(len(row.tiles) for row in examples.rows) * (SIDE + MARGIN) + MARGIN
    height = SIDE + 2 * LINE + MARGIN
    sheet = Image.new("RGB", (width, height * len(examples.rows) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    texts = [
        text for row in examples.rows for tile in row.tiles for text in (tile.title, tile.caption)
    ]
    font_size = _font_size([displayable(text, "method") for text in texts if text])
    for number, row in enumerate(examples.rows):
        top = MARGIN + number * height
        for place, tile in enumerate(row.tiles):
            left = MARGIN + place * (SIDE + MARGIN)
            image = Image.open(io.BytesIO(base64.b64decode(tile.png))).convert("RGB")
            scale = SIDE / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            sheet.paste(image.resize(size, Image.Resampling.NEAREST), (left, top + LINE))
            for text, middle in (
                (tile.title, top + LINE / 2),
                (tile.caption, top + SIDE + 1.5 * LINE),
            ):
                if text:
                    line = cut_text(displayable(text, "method"), font_size, SIDE)
                    draw_text(draw, left, middle, line, font_size, INK)
    buffer = io.BytesIO()
    sheet.quantize(255, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _font_size(texts: Sequence[str]) -> int:
    """Largest size in pixels at which every text is as narrow as a tile; else the smallest."""
    fitting = (size for size in FONT_SIZES if all(text_width(text, size) <= SIDE for text in texts))
    return next(fitting, FONT_SIZES[-1])
