"""Figure of a cost against the size of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .document import Figure
from .drawing import INK_COLOR, drawing_style, method_style, new_drawing, svg_of
from .label_places import spread_positions

__all__ = ["GrowthLine", "growth_figure"]

WIDTH, LABEL_STEP = 430, 13.5


@dataclass(frozen=True)
class GrowthLine:
    """Costs of a method.

    Args:
        label: its name.
        style: position that decides its colour and marker.
        names: sizes of the vocabulary, in rising order.
        costs: positive cost at each size.
    """

    label: str
    style: int
    names: tuple[int, ...]
    costs: tuple[float, ...]


def growth_figure(
    name: str, title: str, cost_title: str, lines: Sequence[GrowthLine], caption: str
) -> Figure:
    """Figure with both axes logarithmic, and each method's name at the end of its line.

    Args:
        name: name of the figure.
        title: title above it.
        cost_title: title of the vertical axis.
        lines: methods, each with at least one cost.
        caption: text below the figure.
    """
    with drawing_style(name):
        drawing, axes = new_drawing(WIDTH, max(320, 90 + LABEL_STEP * len(lines)))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line in lines:
            axes.plot(
                line.names, line.costs, markersize=5, linewidth=1.5, **method_style(line.style)
            )
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("names in the vocabulary")
        axes.set_ylabel(cost_title)
        _ticks(axes, lines)
        longest = max(len(line.label) for line in lines)
        drawing.tight_layout()
        right = max(0.45, 1 - (18 + 5.6 * longest) / WIDTH)
        drawing.subplots_adjust(right=right)
        _end_labels(axes, lines)
        description = f"{title}, {cost_title}, for {', '.join(line.label for line in lines)}."
        return Figure(name, svg_of(drawing, name, description), caption)


def _ticks(axes: Any, lines: Sequence[GrowthLine]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    sizes = sorted({size for line in lines for size in line.names})
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    costs = [cost for line in lines for cost in line.costs]
    wide = max(costs) / min(costs) > 300
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _end_labels(axes: Any, lines: Sequence[GrowthLine]) -> None:
    """Names in a column at the right, in the order of the ends, joined to them by thin lines."""
    axes.autoscale(False)  # the thin lines leave the axes, which must not grow for them
    ends = [axes.transData.transform((line.names[-1], line.costs[-1])) for line in lines]
    bottom, top = axes.bbox.y0, axes.bbox.y1
    heights = spread_positions([end[1] for end in ends], LABEL_STEP, bottom, top)
    left = axes.bbox.x1 + 8
    to_data = axes.transData.inverted().transform
    for line, (x, y), height in zip(lines, ends, heights):
        joint = to_data([(x + 4, y), (left - 2, height)])
        axes.plot(*joint.T, color=INK_COLOR, linewidth=0.5, alpha=0.6, clip_on=False, zorder=1)
        axes.annotate(
            line.label, (left, height), xycoords="figure pixels", va="center", ha="left",
            fontsize=9, annotation_clip=False,
        )  # fmt: skip
