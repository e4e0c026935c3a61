"""Section: IoU of every category, seen and unseen ones apart."""

from __future__ import annotations

import numpy as np

from ..cells import Cell
from ..choices import rank_methods
from ..document import Block, Entry, Folded, ReportTable, Section
from ..figure_bars import bars_figure
from ..intervals import areas_of
from ..view import ReportView, formatted, protocol_uses
from .parts import header_of, paragraph, plain

__all__ = ["categories_section", "category_ious"]


def category_ious(cell: Cell) -> list[float | None]:
    """IoU in percent of each category; None for those without true pixels."""
    values = cell.values
    areas, count = areas_of(values["areas"]), len(values["names"])
    correct_T, predicted_T, true_T = (
        np.bincount(areas[:, 1], areas[:, column], count) for column in (2, 3, 4)
    )
    union_T = predicted_T + true_T - correct_T
    return [float(100 * correct_T[t] / union_T[t]) if true_T[t] else None for t in range(count)]


def categories_section(view: ReportView) -> Section:
    """Bars for each dataset, and a table of all categories to unfold."""
    blocks: list[Block] = [paragraph(plain(
        "Blue bars are categories of the training, orange bars are unseen ones; the dashed lines "
        "are their means. Bars are sorted by IoU within a panel. Unfold the table for names."
    ))]  # fmt: skip
    cells = []
    for data in view.plan.datasets:
        standings = rank_methods(view, data)
        if not standings:
            continue
        found = [each.cell for each in standings]
        cells += found
        panels = [(cell.job.label, category_ious(cell)) for cell in found]
        seen = found[0].values["seen"]
        counts = f"{sum(seen)} seen and {len(seen) - sum(seen)} unseen categories"
        blocks.append(bars_figure(
            view.anchors.of("figure", data, "categories"),
            f"IoU of each category of {data}, by method", panels, seen, f"{data}: {counts}.",
        ))  # fmt: skip
        table = _table(view, data, found)
        blocks.append(Folded(f"{data}: IoU of {len(table.rows)} categories", (table,)))
    return Section("categories", "Categories", tuple(blocks), protocol_uses(cells))


def _table(view: ReportView, data: str, cells: list[Cell]) -> ReportTable:
    ious = [category_ious(cell) for cell in cells]
    names, seen = cells[0].values["names"], cells[0].values["seen"]
    present = [t for t in range(len(names)) if any(each[t] is not None for each in ious)]
    mean = {t: np.mean([each[t] for each in ious if each[t] is not None]) for t in present}
    rows = []
    for t in sorted(present, key=lambda t: -mean[t]):
        entries = [Entry(names[t]), Entry("seen" if seen[t] else "unseen")]
        for cell, each in zip(cells, ious):
            value = each[t]
            entries.append(Entry(
                formatted(value), anchor=view.anchors.of(data, cell.job.label, "iou", names[t]),
                bar=None if value is None else value / 100,
            ))  # fmt: skip
        rows.append(tuple(entries))
    titles = [cell.job.label for cell in cells]
    return ReportTable(
        f"{data}: IoU in percent, highest mean first", header_of("category", "", *titles),
        tuple(rows), 2,
    )  # fmt: skip
