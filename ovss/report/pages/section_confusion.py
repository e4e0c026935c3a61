"""Section: what methods confuse, and names that the text space cannot tell apart."""

from __future__ import annotations

from typing import Any

from ovss.benchmark.audit import CLOSE

from ..cells import Cell
from ..choices import rank_methods
from ..confusion import confused_pairs, confusion_shares
from ..document import Block, Entry, Folded, Items, ReportTable, Section
from ..view import ReportView, protocol_uses
from .parts import header_of, paragraph, plain, quiet, strong

__all__ = ["confusion_section"]

_AUDIT_ROWS = 12
_SHOWN = 8
_EXPLANATION = (
    "Expected confusion: if a region looked exactly like the text of one name, the softmax over "
    "the vocabulary, of cosines times {scale:g}, would give this share to the other. Rename such "
    "categories, add synonyms, or merge them. ovss benchmark audit makes the same table for any "
    "vocabulary."
)
_AT_LEAST, _VISIBLE = 5, 0.0005
"""Number of pairs that are shown in any case, and the confusion from which others are."""


def confusion_section(view: ReportView) -> Section:
    """Table of confused pairs, and the audit of each text space, by dataset."""
    blocks: list[Block] = []
    cells: list[Cell] = []
    for data in view.plan.datasets:
        found = [each.cell for each in rank_methods(view, data) if not each.is_bound]
        if not found:
            continue
        cells += found
        blocks.append(_confused(view, data, found))
        blocks += _audits(view, data, found)
    if cells:
        scale = cells[0].values["audit"]["temperature"]
        blocks.append(paragraph(quiet(_EXPLANATION.format(scale=scale))))
    return Section("confusion", "Confusions and close names", tuple(blocks), protocol_uses(cells))


def _confused(view: ReportView, data: str, cells: list[Cell]) -> ReportTable:
    names, seen = cells[0].values["names"], cells[0].values["seen"]
    rows = []
    for pair in confused_pairs(cells):
        titles = [names[t] + ("" if seen[t] else " *") for t in (pair.true, pair.found)]
        entries = [Entry(title) for title in titles]
        for cell, share in zip(cells, pair.shares):
            entries.append(Entry(
                f"{100 * share:.1f}", bar=share,
                anchor=view.anchors.of(data, cell.job.label, "confusion", *titles),
            ))  # fmt: skip
        rows.append(tuple(entries))
    labels = [cell.job.label for cell in cells]
    return ReportTable(
        f"{data}: largest confusions, % of the true category's pixels",
        header_of("true", "found", *labels), tuple(rows), 2,
        "Sorted by the mean over the methods. A star marks an unseen category.",
    )  # fmt: skip


def _audits(view: ReportView, data: str, cells: list[Cell]) -> list[Block]:
    """Audit of each text space; methods that encode names in the same way share one."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.values["text_sha256"], []).append(cell)
    blocks: list[Block] = []
    first = next(iter(groups.values()))
    for group in groups.values():
        audit = group[0].values["audit"]
        labels = ", ".join(cell.job.label for cell in group)
        blocks.append(paragraph(
            strong(f"{data}, text space of {labels}: "), plain(_summary(audit)),
        ))  # fmt: skip
        table = _close_names(view, data, group)
        if table.rows:
            title = f"{data}: closest names for {labels}"
            blocks.append(table if group is first else Folded(title, (table,)))
        blocks += _synonyms(audit)
    return blocks


def _summary(audit: dict[str, Any]) -> str:
    count, categories = audit["close"], audit["categories"]
    pairs = "1 pair has" if count == 1 else f"{count or 'no'} pairs have"
    return (
        f"of {categories:,} names, {pairs} an expected confusion of at least {100 * CLOSE:.0f} %."
    )


def _close_names(view: ReportView, data: str, group: list[Cell]) -> ReportTable:
    names = group[0].values["names"]
    index = {name: t for t, name in enumerate(names)}
    shares = [confusion_shares(cell) for cell in group]
    rows = []
    pairs = group[0].values["audit"]["pairs"][:_AUDIT_ROWS]
    for place, pair in enumerate(pairs):
        if place >= _AT_LEAST and pair["confusion"] < _VISIBLE:
            continue
        a, b = index[pair["first"]], index[pair["second"]]
        measured = [max(each.get((a, b), 0.0), each.get((b, a), 0.0)) for each in shares]
        rows.append((
            Entry(pair["first"]), Entry(pair["second"]), Entry(f"{pair['cosine']:.3f}"),
            Entry(f"{100 * pair['confusion']:.1f}", bar=pair["confusion"],
                  kind="best" if pair["confusion"] >= CLOSE else ""),
            Entry(f"{100 * sum(measured) / len(measured):.1f}"),
        ))  # fmt: skip
    return ReportTable(
        "Closest names",
        header_of("name", "name", "cosine", "expected confusion, %", "measured, %"),
        tuple(rows), 2, "Measured: mean over the methods of this text space, larger direction.",
    )  # fmt: skip


def _synonyms(audit: dict[str, Any]) -> list[Block]:
    lines = [
        f"The synonym {synonym!r} names several categories: {' | '.join(owners)}."
        for synonym, owners in audit["shared"][:_SHOWN]
    ]
    lines += [
        f"The synonym {stray['synonym']!r} of {stray['own']!r} (cosine {stray['cosine_own']:.3f}) "
        f"is closer to {stray['other']!r} ({stray['cosine_other']:.3f})."
        for stray in audit["strays"][:_SHOWN]
    ]
    return [Items(tuple(paragraph(plain(line)) for line in lines))] if lines else []
