"""Text in drawings, in any script that some font can show."""

from __future__ import annotations

import math

from PIL import ImageDraw

from .fonts import DEFAULT_FACE, Face, faces_of, load_face

__all__ = ["LONGEST", "cut_text", "draw_text", "text_width", "wrapped"]

LONGEST = 300
"""Characters of a name that a drawing uses; more would not fit into any image."""


def _runs(text: str) -> list[tuple[str, Face]]:
    return faces_of(text) or [(text, DEFAULT_FACE)]


def text_width(text: str, size: int) -> int:
    """Width of a line of text in pixels at a font size."""
    return math.ceil(sum(load_face(face, size).getlength(run) for run, face in _runs(text)))


def draw_text(
    draw: ImageDraw.ImageDraw,
    left: float,
    middle: float,
    text: str,
    size: int,
    color: tuple[int, int, int],
    outline: tuple[int, int, int] | None = None,
) -> None:
    """Draws a line of text.

    Args:
        draw: drawing to write on.
        left: left edge in pixels.
        middle: vertical middle of the line in pixels.
        text: text that `ovss.drawing.fonts.displayable` returned.
        size: font size in pixels.
        color: colour of the letters.
        outline: colour of a line around the letters; None: no outline.
    """
    width = 0 if outline is None else max(1, round(size / 10))
    passes = [(color, 0)] if outline is None else [(outline, width), (color, 0)]
    for ink, stroke in passes:
        x = left
        for run, face in _runs(text):
            font = load_face(face, size)
            # "lm" is the middle of the font's own line, so that runs share one line
            draw.text((x, middle), run, ink, font, anchor="lm", stroke_width=stroke)
            x += font.getlength(run)


def cut_text(text: str, size: int, width: int) -> str:
    """Text that is at most `width` pixels wide; a longer one is cut and ends with three dots."""
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while high - low > 1:  # bisects the number of characters that fit
        middle = (low + high) // 2
        fits = text_width(text[:middle] + "...", size) <= width
        low, high = (middle, high) if fits else (low, middle)
    return text[:low].rstrip() + "..."


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Breaks a text at spaces into lines of at most `width` pixels; a longer word has its own."""
    lines: list[str] = []
    for part in text.split():
        longer = f"{lines[-1]} {part}" if lines else part
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
