"""Section: cost against the size of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..cells import COST, Cell
from ..document import Block, Entry, ReportTable, Section
from ..figure_growth import GrowthLine, growth_figure
from ..measure_cost import COST_IMAGES, COST_ROUNDS
from ..slopes import HOW_FITTED, STRAIGHT, fit_growth
from ..view import ReportView, formatted, protocol_uses
from .parts import header_of, paragraph, plain

__all__ = ["growth_section"]


@dataclass(frozen=True)
class _Cost:
    """Cost of a section: id, title, unit, key of the cell, factor to the unit, and digits."""

    name: str
    title: str
    unit: str
    key: str
    factor: float
    digits: int


_MIB = 1 / 2**20
_COSTS = (
    _Cost("seconds", "Time of an image", "ms", "seconds", 1000.0, 1),
    _Cost("memory", "Peak memory of an image", "MiB", "memory", _MIB, 1),
    _Cost("gflops", "Work of an image", "GFLOPs", "gflops", 1.0, 2),
)
_TEXT_COSTS = (
    _Cost("text_seconds", "Time of the text features", "ms", "text_seconds", 1000.0, 0),
    _Cost("text_bytes", "Memory of the text features", "MiB", "text_bytes", _MIB, 2),
    _Cost("text_gflops", "Work of the text features", "GFLOPs", "text_gflops", 1.0, 1),
)


def growth_section(view: ReportView) -> Section:
    """Figures and tables of cost by size; text features, made once, are counted apart."""
    sizes = sorted(set(view.plan.categories))
    cells = [cell for cell in view.of_kind(COST) if cell.content is not None]
    blocks: list[Block] = [paragraph(plain(_introduction(view, sizes, cells)))]
    figures = [_figure(view, sizes, cost) for cost in _COSTS]
    blocks += [figure for figure in figures if figure is not None]
    blocks += [_table(view, sizes, cost, fit=True) for cost in _COSTS]
    blocks.append(_kept(view, sizes))
    blocks.append(paragraph(plain(
        "Text features are made once for a vocabulary and kept; the tables below do not count in "
        "the costs above. Time and work grow with the number of prompt templates of the method."
    )))  # fmt: skip
    blocks += [_table(view, sizes, cost, fit=False) for cost in _TEXT_COSTS]
    return Section("growth", "Cost against the size of the vocabulary", tuple(blocks),
                   protocol_uses(cells))  # fmt: skip


def _introduction(view: ReportView, sizes: list[int], cells: list[Cell]) -> str:
    made_up = sizes[-1] - view.real_names if sizes else 0
    names = f" The last {made_up:,} names of the largest are made up." if made_up > 0 else ""
    clock = cells[0].values["clock"] if cells else "processor"
    images = cells[0].values["images"] if cells else COST_IMAGES
    return (
        f"Trained weights segment the first {images} images of {view.plan.datasets[0]} with longer "
        f"and longer vocabularies; each one contains the shorter ones.{names} Time is "
        f"the best of {COST_ROUNDS} rounds, in {clock} time. Memory is the peak above weights and "
        f"text features; a peak of 0 or - was too small to measure or is not reported. GFLOPs are "
        f"counted at the mean number of categories that a view keeps. {HOW_FITTED}"
    )


def _figure(view: ReportView, sizes: list[int], cost: _Cost) -> Any:
    lines = []
    for label in view.labels:
        known = [
            (size, cost.factor * cell.values[cost.key])
            for size in sizes
            if (cell := view.cost(label, size)) is not None and cell.values[cost.key]
        ]
        if known:
            names, costs = zip(*known)
            lines.append(GrowthLine(label, view.color(label), names, costs))
    if not lines:
        return None
    name = view.anchors.of("figure", "growth", cost.name)
    caption = "Both axes are logarithmic. A flat line means that names cost nothing."
    return growth_figure(name, cost.title, cost.unit, lines, caption)


def _table(view: ReportView, sizes: list[int], cost: _Cost, fit: bool) -> ReportTable:
    rows = []
    for label in view.labels:
        known: list[tuple[int, float]] = []
        entries = [Entry(label)]
        for size in sizes:
            entry, value = _entry(view, label, size, cost)
            entries.append(entry)
            known += [(size, value)] if value is not None else []
        if fit:
            entries += _fitted(known, len(sizes), cost)
        rows.append(tuple(entries))
    titles = [f"{size:,} names" for size in sizes]
    titles += ["fixed", "per 1,000 names", "largest deviation"] if fit else []
    return ReportTable(f"{cost.title}, {cost.unit}", header_of("method", *titles), tuple(rows), 1)


def _entry(view: ReportView, label: str, size: int, cost: _Cost) -> tuple[Entry, float | None]:
    anchor = view.anchors.of("cost", label, str(size), cost.name)
    cell = view.find(COST, label, names=size)
    if cell is None:
        return Entry("", anchor=anchor), None
    if cell.content is None:
        return Entry("failed", anchor=anchor, note=cell.problem, kind="failed"), None
    value = cell.values[cost.key]
    if value is None:
        return Entry("-", anchor=anchor), None
    return Entry(formatted(cost.factor * value, cost.digits), anchor=anchor), cost.factor * value


def _fitted(known: list[tuple[int, float]], sizes: int, cost: _Cost) -> list[Entry]:
    fit = fit_growth(*map(list, zip(*known))) if len(known) == sizes and sizes > 1 else None
    if fit is None:
        return [Entry("-")] * 3
    digits = cost.digits + 1
    percent = 100 * fit.deviation
    return [
        Entry(formatted(fit.fixed, digits)),
        Entry(formatted(1000 * fit.slope, digits)),
        Entry(f"{percent:.0f} %", kind="quiet" if fit.deviation > STRAIGHT else ""),
    ]


def _kept(view: ReportView, sizes: list[int]) -> ReportTable:
    value: Callable[[str, int], Entry] = lambda label, size: _entry(view, label, size, _KEPT)[0]  # noqa: E731
    rows = tuple((Entry(label), *(value(label, size) for size in sizes)) for label in view.labels)
    titles = [f"{size:,} names" for size in sizes]
    return ReportTable(
        "Categories that a view keeps", header_of("method", *titles), rows, 1,
        "Methods whose selector keeps few categories pay for few.",
    )  # fmt: skip


_KEPT = _Cost("kept", "Categories that a view keeps", "", "kept", 1.0, 1)
