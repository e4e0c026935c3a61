"""Style of the figures, and SVG that can stand inside of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

__all__ = ["INK_COLOR", "LINE_COLOR", "drawing_style", "method_style", "new_drawing", "svg_of"]

COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c98a00", "#3a9bdc", "#8560c0", "#8c6d4f",
)  # fmt: skip
"""Colours of methods: those of Okabe and Ito, dark enough for white paper, and two more."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
"""Markers, so that methods differ without colour, too. Their number and that of colours are prime
to each other, so that pairs repeat only after 88 methods."""

INK_COLOR, LINE_COLOR = "#010203", "#d0d4d9"
"""Colours that follow the page: its ink, and its fine lines."""

_IDS = re.compile(r'\bid="([^"]+)"')
_LINKS = re.compile(r'(xlink:href="#|url\(#)([^")]+)')
_FONTS = re.compile(r"(font: [^'\";]*?)(?:'[^']*'|[\w-]+)(?:, (?:'[^']*'|[\w-]+))*(?=[;\"])")


def method_style(position: int) -> dict[str, Any]:
    """Colour and marker of a method by its position in the plan."""
    return {
        "color": COLORS[position % len(COLORS)],
        "marker": MARKERS[position % len(MARKERS)],
    }


@contextmanager
def drawing_style(name: str) -> Iterator[None]:
    """Context in which matplotlib draws in the style of the report.

    Args:
        name: name of the figure; it decides ids, so that the same figure is the same text.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    style: Any = {
        "font.family": "sans-serif",
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.labelsize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK_COLOR,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": INK_COLOR,
        "grid.color": LINE_COLOR,
        "grid.linewidth": 0.6,
        "text.color": INK_COLOR,
        "xtick.color": INK_COLOR,
        "ytick.color": INK_COLOR,
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    with matplotlib.rc_context(style):
        yield


def new_drawing(width: float, height: float) -> tuple[Drawing, Axes]:
    """New drawing with one pair of axes; `width` and `height` are in pixels of a page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasAgg(drawing)  # measures texts
    return drawing, drawing.add_subplot()


def svg_of(drawing: Drawing, name: str, description: str) -> str:
    """SVG of a drawing whose text follows the page and whose ids start with `name`.

    Args:
        drawing: drawing.
        name: name of the figure.
        description: what a screen reader says.
    """
    from html import escape

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawing.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    width, height = (float(x) for x in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-label="{escape(description)}">'
    )
    text = start + text[text.index(">") + 1 :]
    text = _IDS.sub(rf'id="{name}-\1"', text)
    text = _LINKS.sub(rf"\g<1>{name}-\g<2>", text)
    text = _FONTS.sub(r"\1system-ui, sans-serif", text)
    text = text.replace(INK_COLOR, "currentColor")
    return text.replace(LINE_COLOR, f"var(--line, {LINE_COLOR})").strip() + "\n"
