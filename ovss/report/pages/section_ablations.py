"""Section: tables of ablations with mean and spread over seeds, published numbers apart."""

from __future__ import annotations

from ovss.results.published import load_published

from ..document import Block, Entry, ProtocolUse, ReportTable, Section
from ..plan import AblationGroup, AblationRow
from ..row_results import RowRun, runs_of_group
from ..settings import stated_difference
from ..spread import Spread, spread_of
from ..view import ReportView, protocol_uses
from .parts import header_of, paragraph, plain, quiet
from .studies import find_study, published_entries
from .thresholds import threshold_table

__all__ = ["ablations_section", "spread_text"]

_METRICS = (("mIoU", "miou", "mIoU"), ("hIoU", "hiou", "harmonic"))
Column = tuple[str, int, str]
"""Dataset, number of images and hash of the labels."""


def ablations_section(view: ReportView) -> Section:
    """One table for each group of the plan."""
    blocks: list[Block] = [paragraph(plain(
        "A row is a config trained with several seeds: mean ± standard deviation (seeds). Rows "
        "differ from the full one by the stated setting. Empty cells were not run. Published "
        "numbers are from full-size models on other datasets: compare the order of the rows, not "
        "the values."
    ))]  # fmt: skip
    uses: dict[ProtocolUse, None] = {}
    for group in view.plan.ablations:
        if group.thresholds:
            found, cells = threshold_table(view, group)
            blocks += found
            uses.update(dict.fromkeys(protocol_uses(cells)))
            continue
        runs, problems = runs_of_group(view, group)
        blocks.append(_table(view, group, runs))
        remarks = [*problems, *dict.fromkeys(run.problem for run in runs if run.problem)]
        blocks += [paragraph(quiet(f"{remark}.")) for remark in remarks]
        uses.update(dict.fromkeys(run.protocol for run in runs))
    return Section("ablations", "Ablations", tuple(blocks), tuple(uses))


def _table(view: ReportView, group: AblationGroup, runs: list[RowRun]) -> ReportTable:
    columns: list[Column] = list(dict.fromkeys((r.data, r.images, r.census) for r in runs))
    study = find_study(group.published)
    full = next((row for row in group.rows if row.row == group.full), None)
    titles = [
        f"{name}, {data} ({images:,} images)"
        for data, images, _ in columns or [(view.plan.datasets[0], view.plan.images, "")]
        for _, _, name in _METRICS
    ]
    rows = [_row(view, group, row, full, runs, columns) for row in group.rows]
    quotes = [published_entries(study, row.published) for row in group.rows]
    header = header_of("row", "setting", *titles)
    if study is not None:
        header += tuple(Entry(f"{name} (published)", kind="published") for name in study.columns)
        rows = [(*row, *quote) for row, quote in zip(rows, quotes)]
    number_of = f" (table {study.number})" if study is not None else ""
    source = load_published().study_source
    quoted = f"Published: {source}. {study.note}" if study is not None else ""
    note = f"{group.note} {quoted}".strip()
    return ReportTable(f"{group.title}{number_of}", header, tuple(rows), 2, note)


def _row(
    view: ReportView,
    group: AblationGroup,
    row: AblationRow,
    full: AblationRow | None,
    runs: list[RowRun],
    columns: list[Column],
) -> tuple[Entry, ...]:
    setting = ""
    if full is not None and full is not row:
        setting = stated_difference(full.config, row.config) or "same model"
    kind = "strong" if row is full else ""
    title = Entry(row.title or row.row, anchor=view.anchors.of(group.title, row.row), kind=kind)
    entries = [title, Entry(setting, kind="quiet")]
    if not columns:
        return (*entries, *(Entry("") for _ in _METRICS))
    for column in columns:
        here = [r for r in runs if r.row == row.row and (r.data, r.images, r.census) == column]
        for key, name, _ in _METRICS:
            values = [run.metrics[key] for run in here if run.metrics.get(key) is not None]
            spread = spread_of([value for value in values if value is not None])
            sources = ", ".join(f"seed {run.seed}: {run.source}" for run in here)
            anchor = view.anchors.of(group.title, row.row, column[0], str(column[1]), name)
            entries.append(Entry(spread_text(spread), anchor=anchor, note=sources))
    return tuple(entries)


def spread_text(spread: Spread | None) -> str:
    """Mean, standard deviation and number of seeds; empty if nobody ran it.

    >>> spread_text(spread_of([70.0, 72.0])), spread_text(None)
    ('71.0 ± 1.4 (2)', '')
    """
    if spread is None:
        return ""
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.1f}"
    return f"{spread.mean:.1f}{deviation} ({spread.count})"
