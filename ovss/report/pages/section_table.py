"""Section: every method in one table for each dataset."""

from __future__ import annotations

from ovss.benchmark.table_text import NOTE, clock_names

from ..cells import ACCURACY, Cell
from ..choices import Standing, rank_methods
from ..document import Block, Entry, ReportTable, Section
from ..view import ReportView, formatted, protocol_uses
from .parts import header_of

__all__ = ["COLUMNS", "table_section"]

COLUMNS = (
    ("miou", "mIoU", "mIoU", 1, 1.0),
    ("seen", "seen", "mIoU_seen", 1, 1.0),
    ("unseen", "unseen", "mIoU_unseen", 1, 1.0),
    ("hiou", "harmonic", "hIoU", 1, 1.0),
    ("params", "params, M", "parameters", 2, 1e-6),
    ("learnable", "learnable, M", "learnable", 2, 1e-6),
    ("kept", "kept", "kept", 1, 1.0),
    ("gflops", "GFLOPs", "gflops", 2, 1.0),
    ("seconds", "ms", "seconds", 1, 1000.0),
    ("memory", "MiB", "memory", 0, 1 / 2**20),
)
"""Anchor, title, key in a row of `ovss benchmark table`, digits and factor of each column."""

_PERCENTS = 4


def table_section(view: ReportView) -> Section:
    """One table for each dataset, the most accurate method first."""
    blocks: list[Block] = []
    cells: list[Cell] = []
    for data in view.plan.datasets:
        standings = rank_methods(view, data)
        cells += [each.cell for each in standings]
        blocks.append(_table(view, data, standings))
    return Section("table", "Every method in one table", tuple(blocks), protocol_uses(cells))


def _table(view: ReportView, data: str, standings: list[Standing]) -> ReportTable:
    rows = [each.cell.values["row"] for each in standings if not each.is_bound]
    best = [
        max((row[key] for row in rows if row[key] is not None), default=None)
        for _, _, key, _, _ in COLUMNS[:_PERCENTS]
    ]
    lines = [_line(view, data, each, best) for each in standings]
    listed = {each.label for each in standings}
    for label in view.labels:
        cell = view.find(ACCURACY, label, data)
        if label not in listed and cell is not None:
            reason = cell.problem or "no category has true pixels"
            anchor = view.anchors.of(data, label)
            empty = (Entry(""),) * len(COLUMNS)
            failed = Entry(f"failed: {reason}", kind="failed")
            lines.append((Entry(label, anchor=anchor), failed, *empty))
    clocks = clock_names([each.cell.values["row"] for each in standings])
    note = NOTE.format(seconds=clocks).replace(f"median {clocks} seconds", f"median {clocks} ms")
    images = standings[0].cell.values["row"]["images"] if standings else 0
    titles = (title for _, title, *_ in COLUMNS)
    return ReportTable(
        f"{data}: {images:,} images",
        header_of("method", "95 % interval of mIoU", *titles),
        tuple(lines),
        2,
        f"{note} The interval is over draws of the images.",
    )


def _line(
    view: ReportView, data: str, each: Standing, best: list[float | None]
) -> tuple[Entry, ...]:
    row, (low, high) = each.cell.values["row"], each.limits
    remark = {"default": "", "none": " (random weights)"}.get(each.cell.job.weights, "")
    remark += " (upper bound)" * each.is_bound
    entries = [
        Entry(each.label + remark, anchor=view.anchors.of(data, each.label)),
        Entry(f"{low:.1f} to {high:.1f}", kind="quiet"),
    ]
    for index, (name, title, key, digits, factor) in enumerate(COLUMNS):
        value = row[key]
        is_best = index < _PERCENTS and value is not None and value == best[index]
        entries.append(Entry(
            formatted(None if value is None else factor * value, digits),
            anchor=view.anchors.of(data, each.label, name),
            note=f"{title} of {each.label} on {data}",
            kind="best" if is_best and not each.is_bound else "",
        ))  # fmt: skip
    return tuple(entries)
