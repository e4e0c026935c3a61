"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown_table"]


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int
) -> list[str]:
    """Lines of a Markdown table.

    Args:
        header: cells of the first line. A vertical bar in a cell is escaped.
        rows: cells of the other lines.
        text_columns: number of columns at the left that hold text. The others hold numbers and
            are aligned right.
    """
    rule = ("---",) * text_columns + ("---:",) * (len(header) - text_columns)
    lines = (header, rule, *rows)
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
