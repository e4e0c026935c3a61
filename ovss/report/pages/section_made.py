"""Section: command, versions, device, weights and failed cells."""

from __future__ import annotations

from collections.abc import Sequence

from ..cells import ACCURACY
from ..document import Block, Entry, Items, ReportTable, Section
from ..view import ReportView
from .parts import header_of, paragraph, plain, strong

__all__ = ["made_section"]


def made_section(view: ReportView, command: str, date: str, sections: Sequence[Section]) -> Section:
    """How the report was made.

    Args:
        view: plan and cells.
        command: command line.
        date: day on which the report was written.
        sections: the other sections, whose protocols are listed.
    """
    blocks: list[Block] = [
        paragraph(
            strong("Command: "), Entry(command, kind="code"), plain(f". Written {date} (UTC).")
        ),
        _machines(view),
        _weights(view),
        _protocols(sections),
    ]
    failed = view.failed()
    if failed:
        lines = tuple(paragraph(strong(f"{c.job}: "), plain(f"{c.problem}.")) for c in failed)
        blocks += [paragraph(strong(f"Failed cells ({len(failed)})")), Items(lines)]
    blocks.append(paragraph(plain(
        "Every cell was measured in a process of its own and is kept in the folder cells/ under "
        "the hash of everything that enters it: config, SHA-256 of the weights, data, protocol, "
        "code of the method, version of the measuring code, versions and device. The same command "
        "continues an interrupted run and measures only cells whose hash is new."
    )))  # fmt: skip
    return Section("made", "How it was made", tuple(blocks))


def _machines(view: ReportView) -> ReportTable:
    """Versions and devices, once if all cells agree."""
    found: dict[tuple[str, ...], int] = {}
    for cell in view.cells:
        values = cell.content or {}
        made = values.get("made_with") or values.get("row", {}).get("made_with")
        if made:
            key = tuple(str(made[k]) for k in ("ovss", "torch", "python", "device", "threads"))
            found[key] = found.get(key, 0) + 1
    rows = tuple((*map(Entry, key), Entry(str(count))) for key, count in found.items())
    header = header_of("ovss", "torch", "Python", "device", "threads", "cells")
    return ReportTable("Versions and devices", header, rows, 4)


def _weights(view: ReportView) -> ReportTable:
    rows = []
    seen: set[tuple[str, str]] = set()
    for cell in view.of_kind(ACCURACY):
        if cell.content is None:
            continue
        weights = cell.values["weights"]
        key = (cell.job.label, weights["model_sha256"])
        if key in seen:
            continue
        seen.add(key)
        rows.append((
            Entry(cell.job.label), Entry(cell.job.method), Entry(weights["file"] or "none"),
            Entry(_short(weights["sha256"]), note=weights["sha256"] or "", kind="code"),
            Entry(_short(weights["model_sha256"]), note=weights["model_sha256"], kind="code"),
        ))  # fmt: skip
    header = header_of("method", "config", "weights", "SHA-256 of the file", "of all tensors")
    return ReportTable("Weights", header, tuple(rows), 5)


def _short(digest: str | None) -> str:
    return digest[:16] if digest else "-"


def _protocols(sections: Sequence[Section]) -> ReportTable:
    where: dict[tuple[str, ...], dict[str, None]] = {}
    labels: dict[tuple[str, ...], dict[str, None]] = {}
    for section in sections:
        for use in section.protocols:
            key = (use.name, use.data, use.method_hash, use.full_hash)
            where.setdefault(key, {})[section.title] = None
            labels.setdefault(key, {})[use.label] = None
    rows = tuple(
        (
            *map(Entry, key[:2]),
            *(Entry(digest, kind="code") for digest in key[2:]),
            Entry(", ".join(labels[key])),
            Entry("; ".join(titles)),
        )
        for key, titles in where.items()
    )
    header = header_of("protocol", "dataset", "method hash", "full hash", "methods", "sections")
    return ReportTable("Protocols", header, rows, 6)
