"""Figure of accuracy against a cost, with the Pareto line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .document import Figure
from .drawing import INK_COLOR, drawing_style, method_style, new_drawing, svg_of
from .label_places import place_labels
from .pareto import pareto_line

__all__ = ["ScatterPoint", "scatter_figure"]

WIDTH, HEIGHT = 430, 350


@dataclass(frozen=True)
class ScatterPoint:
    """Method in a figure.

    Args:
        label: its name.
        style: position that decides its colour and marker.
        cost: positive cost.
        accuracy: mIoU in percent.
    """

    label: str
    style: int
    cost: float
    accuracy: float


def scatter_figure(
    name: str, title: str, cost_title: str, points: Sequence[ScatterPoint]
) -> Figure:
    """Figure of accuracy against cost. The cost has a logarithmic axis.

    Args:
        name: name of the figure.
        title: title above it.
        cost_title: title of the horizontal axis.
        points: methods.
    """
    line = pareto_line([(point.cost, point.accuracy) for point in points])
    with drawing_style(name):
        drawing, axes = new_drawing(WIDTH, HEIGHT)
        axes.set_xscale("log")
        for index, point in enumerate(points):
            style = method_style(point.style)
            face = style["color"] if index in line else "none"
            axes.plot(
                [point.cost], [point.accuracy], style["marker"], markersize=8,
                markerfacecolor=face, markeredgecolor=style["color"], markeredgewidth=1.6, zorder=3,
            )  # fmt: skip
        axes.plot(
            [points[i].cost for i in line],
            [points[i].accuracy for i in line],
            color=INK_COLOR, linewidth=1.1, linestyle=(0, (4, 3)), zorder=2,
        )  # fmt: skip
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel(cost_title)
        axes.set_ylabel("mIoU, %")
        _margins(axes, points)
        drawing.tight_layout()
        _labels(drawing, axes, points, line)
        names = ", ".join(points[i].label for i in line)
        description = f"{title}. On the Pareto line: {names}."
        return Figure(name, svg_of(drawing, name, description), f"On the Pareto line: {names}.")


def _margins(axes: Any, points: Sequence[ScatterPoint]) -> None:
    """Leaves room for labels, and ticks at plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    costs, values = [point.cost for point in points], [point.accuracy for point in points]
    ratio = max(max(costs) / min(costs), 1.5)
    axes.set_xlim(min(costs) / ratio**0.14, max(costs) * ratio**0.3)
    span = max(max(values) - min(values), 4.0)
    axes.set_ylim(min(values) - 0.12 * span, max(values) + 0.16 * span)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _labels(drawing: Any, axes: Any, points: Sequence[ScatterPoint], line: Sequence[int]) -> None:
    """Writes the name of each method next to its point, with a thin line if it is far."""
    renderer = drawing.canvas.get_renderer()
    texts = [
        axes.annotate(
            point.label, (point.cost, point.accuracy), xytext=(0, 0), textcoords="offset pixels",
            ha="left", va="bottom", fontsize=9.5, fontweight="bold" if i in line else "normal",
            zorder=4,
        )
        for i, point in enumerate(points)
    ]  # fmt: skip
    places = [tuple(axes.transData.transform((p.cost, p.accuracy))) for p in points]
    boxes = [text.get_window_extent(renderer) for text in texts]
    sizes = [(box.width + 2, box.height) for box in boxes]
    area = axes.get_window_extent(renderer)
    bounds = (area.x0, area.y0, drawing.bbox.x1 - 4, area.y1)
    route = [places[i] for i in line]
    for text, (x, y), box in zip(texts, places, place_labels(places, sizes, bounds, route)):
        text.set_position((box[0] - x, box[1] - y))
        nearest = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        if abs(nearest[0] - x) + abs(nearest[1] - y) > 18:
            ends = axes.transData.inverted().transform([(x, y), nearest])
            axes.plot(*ends.T, color=INK_COLOR, linewidth=0.5, alpha=0.6, zorder=1)
