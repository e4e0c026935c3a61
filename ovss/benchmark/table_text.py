"""Formats the table of methods for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ovss.io.markdown import code_span, markdown_table, markdown_text
from ovss.io.text import visible

from .arguments import labels
from .table import Row

NOTE = (
    "mIoU in percent over categories in the ground truth, as in ovss test; parameters in "
    "millions; GFLOPs (2 x multiply-accumulates) per image at the mean number of categories "
    "kept, without the text tower; median {seconds} seconds per image; peak memory in MiB above "
    "weights and text features."
)
TABLE_HEADER = (
    "data",
    "method",
    "all",
    "seen",
    "unseen",
    "harmonic",
    "params",
    "learnable",
    "kept",
    "GFLOPs",
    "s",
    "MiB",
)
"""Titles of the columns."""

_TEXT_COLUMNS = 2


def benchmark_text(rows: Sequence[Row]) -> str:
    """Formats aligned columns, followed by a note that explains them."""
    table = [TABLE_HEADER, *(tuple(map(visible, cells)) for cells in table_cells(rows))]
    widths = [max(len(line[i]) for line in table) for i in range(len(TABLE_HEADER))]
    lines = []
    for line in table:
        text = [cell.ljust(width) for cell, width in zip(line[:_TEXT_COLUMNS], widths)]
        numbers = [
            cell.rjust(width) for cell, width in zip(line[_TEXT_COLUMNS:], widths[_TEXT_COLUMNS:])
        ]
        lines.append("  ".join([*text, *numbers]))
    return "\n".join([*lines, NOTE.format(seconds=clock_names(rows)), visible(_made_with(rows))])


def benchmark_markdown(rows: Sequence[Row], command: str) -> str:
    """Formats a Markdown table below the command that made it, with versions and device last."""
    table = markdown_table(TABLE_HEADER, table_cells(rows), _TEXT_COLUMNS, code_columns=[1])
    note, made_with = NOTE.format(seconds=clock_names(rows)), markdown_text(_made_with(rows))
    return "\n".join([code_span(command), "", *table, "", note, "", made_with, ""])


def table_cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Formatted cells of each row, one for each of `TABLE_HEADER`."""
    names = labels(list(dict.fromkeys(row["job"]["method"] for row in rows)))
    return [
        (
            row["job"]["data"],
            names[row["job"]["method"]] + _remark(row),
            *(_number(row[key], 1) for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")),
            *(_number(row[key] / 1e6, 2) for key in ("parameters", "learnable")),
            _number(row["kept"], 1),
            _number(row["gflops"], 2),
            _number(row["seconds"], 3),
            _number(None if row["memory"] is None else row["memory"] / 2**20, 0),
        )
        for row in rows
    ]


def _remark(row: Row) -> str:
    """Remarks on the weights and on the use of the ground truth."""
    weights = {"default": "", "none": " (random)"}.get(row["job"]["weights"], " (other weights)")
    return weights + " (upper bound)" * row["upper_bound"]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def clock_names(rows: Sequence[Row]) -> str:
    """Names of the clocks that timed the rows."""
    return " or ".join(dict.fromkeys(row["clock"] for row in rows))


def _made_with(rows: Sequence[Row]) -> str:
    """Describes number of images, versions and device, once if all rows agree."""
    lines = {
        "{images} images; ovss {ovss}, torch {torch}, python {python}; {device}, "
        "{threads} thread(s)".format(images=row["images"], **row["made_with"]): None
        for row in rows
    }
    return " / ".join(lines)
