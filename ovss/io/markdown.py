"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown_table"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Lines of a Markdown table.

    Args:
        header, rows: cells; a bar in one of them is escaped.
        words: so many columns at the left hold words, the others numbers.
    """
    rule = ("---",) * words + ("---:",) * (len(header) - words)
    lines = (header, rule, *rows)
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
