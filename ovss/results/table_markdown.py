"""Comparison table as Markdown, and cells shared with the HTML page."""

from __future__ import annotations

from ovss.io.markdown import markdown_table, markdown_text

from .published import load_published
from .table import Grid, Line, Measured

DETAILS = (
    "data",
    "method",
    "mIoU",
    "union",
    "seen",
    "unseen",
    "hIoU",
    "pACC",
    "mACC",
    "fwIoU",
    "images",
    "s / image",
    "GiB",
    "device",
    "protocol",
    "method hash",
    "full hash",
    "weights",
    "ovss",
    "file",
)
"""Columns of the table of details."""
_METRICS = ("mIoU", "mIoU_union", "mIoU_seen", "mIoU_unseen", "hIoU", "pACC", "mACC", "fwIoU")
_TEXTS = 2
"""Number of columns at the left that hold text."""


def as_markdown(grid: Grid, studies: bool = False) -> str:
    """Markdown: the table, its sources and notes, and details of each measurement."""
    header = (
        "method",
        "protocol",
        *(column.label for column in grid.columns),
        *(f"{column.label} (published)" for column in grid.published),
    )
    lines = [*markdown_table(header, [table_row(line) for line in grid.lines], _TEXTS), ""]
    lines += [markdown_text(grid.caption)]
    lines += [""] if grid.sources or grid.notes else []
    sources = grid.sources.items()
    lines += [f"- published [{mark}]: {markdown_text(source)}" for mark, source in sources]
    lines += [f"- note: {markdown_text(note)}" for note in grid.notes]
    measured = grid.measured()
    if measured:
        rows = [details(cell) for cell in measured]
        lines += ["", "Details of each measurement:", ""]
        lines += markdown_table(DETAILS, rows, _TEXTS)
    return "\n".join([*lines, *(studies_markdown() if studies else ()), ""])


def table_row(line: Line) -> list[str]:
    """Method, protocol, measured values, and published values with the marks of their sources."""
    measured = ["" if cell is None else number(cell.value, 1) for cell in line.measured]
    quoted = [
        "; ".join(f"{quote.value:.1f} [{quote.mark}]" for quote in quotes)
        for quotes in line.published
    ]
    return [line.method, line.protocol, *measured, *quoted]


def details(cell: Measured) -> list[str]:
    """Row of the table of details, one cell for each of `DETAILS`."""
    result, run = cell.result, cell.result.run
    memory = run.peak_memory.get("gpu") or run.peak_memory.get("resident")
    device = run.device
    name = device.get("name", device.get("kind", "?"))
    threads = f", {device.get('threads')} thread(s)" if device.get("kind") == "cpu" else ""
    return [
        result.data.name,
        result.config_name,
        *(number(result.metrics.get(name), 2) for name in _METRICS),
        f"{result.data.images:,}",
        f"{run.seconds_per_image:.3g}",
        "-" if memory is None else f"{memory / 2**30:.2f}",
        f"{run.ranks} x {name}{threads}" if run.ranks > 1 else f"{name}{threads}",
        result.protocol.name,
        result.protocol.method_hash,
        result.protocol.full_hash,
        (result.weights.sha256 or "none")[:12],
        run.versions.get("ovss", "?"),
        cell.file,
    ]


def studies_markdown() -> list[str]:
    """Additional tables of papers as Markdown."""
    known = load_published()
    lines = []
    for study in known.studies:
        rows = [[name, *(number(value, None) for value in values)] for name, values in study.rows]
        title = f"Published, {known.study_source}, table {study.number}: {study.title}"
        table = markdown_table(("", *study.columns), rows, 1)
        lines += ["", markdown_text(title), "", *table]
        lines += ["", markdown_text(study.note)] if study.note else []
    return lines


def number(value: float | None, digits: int | None) -> str:
    """Formatted number; a dash if the value is undefined.

    >>> number(31.25, 1), number(None, 1), number(0.2, None)
    ('31.2', '-', '0.2')
    """
    if value is None:
        return "-"
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"
