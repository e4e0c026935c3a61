"""Table of a selector at several thresholds, which needs no training."""

from __future__ import annotations

from pathlib import Path

from ovss.results.published import Study, load_published

from ..cells import Cell
from ..document import Block, Entry, ReportTable
from ..plan import AblationGroup
from ..view import ReportView, formatted
from .parts import header_of, paragraph, plain
from .studies import find_study

__all__ = ["threshold_table"]

_COLUMNS = (
    ("miou", "mIoU", "mIoU", 1),
    ("unseen", "unseen", "mIoU_unseen", 1),
    ("recall", "recall, %", "recall", 1),
)


def threshold_table(view: ReportView, group: AblationGroup) -> tuple[list[Block], list[Cell]]:
    """Blocks of a group of thresholds, and its cells that have values."""
    label, study = Path(group.config.split(",")[0]).stem, find_study(group.published)
    blocks: list[Block] = []
    cells = []
    for data in group.datasets or view.plan.datasets:
        cell = view.thresholds(label, data)
        if cell is None or cell.content is None:
            reason = cell.problem if cell is not None else "it was not measured"
            blocks.append(paragraph(plain(f"{group.title}, {label} on {data}: {reason}.")))
            continue
        cells.append(cell)
        blocks.append(_table(view, group, cell, study))
    return blocks, cells


def _table(view: ReportView, group: AblationGroup, cell: Cell, study: Study | None) -> ReportTable:
    data, values = cell.job.data, cell.values
    quotes = {float(name): each for name, each in study.rows} if study is not None else {}
    rows = []
    for point in values["points"]:
        threshold = point["threshold"]
        entries = [Entry(f"{threshold:g}")]
        cells = [(name, point[key], digits) for name, _, key, digits in _COLUMNS]
        cells += [
            ("kept", point["kept_per_view"]["mean"], 1),
            ("seconds", 1000 * point["seconds_per_image"][values["clock"]], 1),
            ("gflops", 2 * point["gmacs_per_image"], 2),
        ]
        for name, value, digits in cells:
            anchor = view.anchors.of(group.title, data, f"{threshold:g}", name)
            entries.append(Entry(formatted(value, digits), anchor=anchor))
        if study is not None:
            quoted = quotes.get(threshold, (None,) * len(study.columns))
            entries += [Entry("" if x is None else f"{x:g}", kind="published") for x in quoted]
        rows.append(tuple(entries))
    titles = [title for _, title, *_ in _COLUMNS]
    header = header_of("threshold", *titles, "kept", "ms", "GFLOPs")
    note = f"{cell.job.label} on {values['points'][0]['images']:,} images of {data}. {group.note}"
    title = group.title
    if study is not None:
        header += tuple(Entry(f"{name} (published)", kind="published") for name in study.columns)
        note = f"{note.strip()} Published: {load_published().study_source}. {study.note}"
        title += f" (table {study.number})"
    return ReportTable(title, header, tuple(rows), 1, note.strip())
