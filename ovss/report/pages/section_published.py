"""Section: published numbers of the methods, apart from what was measured."""

from __future__ import annotations

from ovss.models.configs import find_config
from ovss.results.published import load_published
from ovss.results.zoo import method_of

from ..document import Block, Entry, ReportTable, Section
from ..view import ReportView
from .parts import header_of, paragraph, plain

__all__ = ["published_section"]

_USUAL = 5
"""Number of datasets that papers usually report."""


def published_section(view: ReportView) -> Section:
    """Published mIoU of the methods of the report, with its sources."""
    known = load_published()
    names = dict.fromkeys(
        name for each in view.plan.methods if (name := _published_as(each.config))
    )
    datasets = list(known.columns)[:_USUAL]
    rows: list[tuple[Entry, ...]] = []
    sources: dict[str, str] = {}
    for row in known.rows:
        if row.method not in names or not set(datasets) & row.miou.keys():
            continue
        mark = sources.setdefault(row.source, f"[{len(sources) + 1}]")
        values = (row.miou.get(data) for data in datasets)
        entries = [Entry("" if x is None else f"{x:.1f}", kind="published") for x in values]
        rows.append(
            (Entry(row.method), Entry(f"{row.backbone} ({row.size})"), *entries, Entry(mark))
        )
    blocks: list[Block] = [paragraph(plain(
        "None of these numbers was measured here. They are of full-size models that were trained "
        "on COCO-Stuff or more, and are not comparable with the sections above."
    ))]  # fmt: skip
    if not rows:
        blocks = [paragraph(plain("No published numbers are known of these methods."))]
        return Section("published", "Published numbers", tuple(blocks))
    note = " ".join(f"{mark} {known.sources[source]}." for source, mark in sources.items())
    header = header_of("method", "backbone", *(known.columns[data] for data in datasets), "source")
    blocks.append(ReportTable("Published mIoU in percent", header, tuple(rows), 2, note))
    return Section("published", "Published numbers", tuple(blocks))


def _published_as(config: str) -> str:
    """Name of the published method of a config; empty if there is none."""
    try:
        method = method_of(find_config(config.split(",")[0]))
    except FileNotFoundError:
        return ""
    return method.name if method is not None else ""
