"""Figure of the IoU of every category, seen and unseen ones in two colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .document import Figure
from .drawing import INK_COLOR, drawing_style, new_drawing, svg_of

__all__ = ["SEEN_COLOR", "UNSEEN_COLOR", "bars_figure"]

SEEN_COLOR, UNSEEN_COLOR = "#0072b2", "#e69f00"
PANEL_WIDTH, PANEL_HEIGHT, COLUMNS = 300, 150, 3


def bars_figure(
    name: str,
    title: str,
    panels: Sequence[tuple[str, Sequence[float | None]]],
    seen: Sequence[bool],
    caption: str,
) -> Figure:
    """Small multiples: one panel for each method, bars from the lowest to the highest IoU.

    Args:
        name: name of the figure.
        title: description of the figure.
        panels: label of each method, and IoU in percent of each category; None without true pixels.
        seen: True for categories of the training set.
        caption: text below the figure.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with drawing_style(name):
        drawing, first = new_drawing(PANEL_WIDTH * columns, PANEL_HEIGHT * rows + 10)
        first.remove()
        grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, panel in zip(grid.flat, panels):
            _panel(axes, *panel, seen)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("IoU, %")
        drawing.tight_layout()
        return Figure(name, svg_of(drawing, name, title), caption, is_wide=True)


def _panel(axes: Any, label: str, values: Sequence[float | None], seen: Sequence[bool]) -> None:
    known = [(value, is_seen) for value, is_seen in zip(values, seen) if value is not None]
    known.sort(key=lambda each: each[0])
    heights_T = np.array([value for value, _ in known])
    seen_T = np.array([is_seen for _, is_seen in known], bool)
    for marks_T, color in ((seen_T, SEEN_COLOR), (~seen_T, UNSEEN_COLOR)):
        place_N = np.flatnonzero(marks_T)
        # one collection of lines is a tenth of the size of as many rectangles
        axes.vlines(place_N, 0, heights_T[place_N], color=color, linewidth=_width(len(known)))
        if place_N.size:
            mean = heights_T[place_N].mean()
            axes.axhline(mean, color=color, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
    axes.set_title(label, loc="left", fontsize=9, fontweight="bold", color=INK_COLOR)
    axes.set_ylim(0, 100)
    axes.set_xlim(-1, max(len(known), 1))
    axes.grid(axis="x", visible=False)
    axes.set_xticks([])


def _width(count: int) -> float:
    """Width of a bar in pixels, with a gap to the next one if there is room."""
    step = (PANEL_WIDTH - 50) / max(count, 1)
    return min(8.0, step * 0.8 if step > 1.5 else step)
