"""Example images of a report on one sheet, for formats that cannot hold tiles."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw

from ovss.drawing.fonts import displayable
from ovss.drawing.text import draw_text

from .document import Examples

__all__ = ["example_sheet"]

SIDE, MARGIN, LINE, FONT_SIZE = 120, 8, 16, 11
PAPER, INK = (255, 255, 255), (20, 20, 20)


def example_sheet(examples: Examples) -> bytes:
    """PNG with one row of tiles for each image: title, image and caption."""
    width = max(len(row.tiles) for row in examples.rows) * (SIDE + MARGIN) + MARGIN
    height = SIDE + 2 * LINE + MARGIN
    sheet = Image.new("RGB", (width, height * len(examples.rows) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
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
                    draw_text(draw, left, middle, displayable(text, "method"), FONT_SIZE, INK)
    buffer = io.BytesIO()
    sheet.quantize(255, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
