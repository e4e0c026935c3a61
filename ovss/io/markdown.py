"""Tables and text in Markdown, in which names cannot change the layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .text import visible

__all__ = ["code_span", "markdown_table", "markdown_text"]

_SPECIAL = re.compile(
    r"[\\`*|<>]"  # escapes, code, emphasis, cells, HTML
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; inside of a name it is only a character
    r"|(?<=\])[(\[]"  # addresses of links and images
)
_ENTITY = re.compile(r"&(?=#?\w+;)")


def markdown_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: int,
    code_columns: Collection[int] = (),
) -> list[str]:
    """Lines of a Markdown table.

    Args:
        header: cells of the first line. All cells are plain text, see `markdown_text`.
        rows: cells of the other lines.
        text_columns: number of columns at the left that hold text. The others hold numbers and
            are aligned right.
        code_columns: positions of columns whose cells are set as code, except in the header.
    """
    rule = ("---",) * text_columns + ("---:",) * (len(header) - text_columns)
    cells = [
        [
            code_span(cell, True) if i in code_columns else markdown_text(cell)
            for i, cell in enumerate(row)
        ]
        for row in rows
    ]
    lines = ([markdown_text(cell) for cell in header], rule, *cells)
    return ["| " + " | ".join(line) + " |" for line in lines]


def markdown_text(text: str) -> str:
    r"""Plain text as Markdown on one line: special characters are escaped.

    >>> markdown_text("a|b <img> sofa_bed"), markdown_text("[x](http://y)")
    ('a\\|b \\<img\\> sofa_bed', '[x]\\(http://y)')
    """
    return _ENTITY.sub("&amp;", _SPECIAL.sub(r"\\\g<0>", visible(text)))


def code_span(text: str, in_table: bool = False) -> str:
    r"""Text as code on one line.

    Args:
        text: plain text.
        in_table: True for a cell of a table, in which vertical bars are escaped.

    >>> code_span("a|b", in_table=True), code_span("a`b")
    ('`a\\|b`', '`` a`b ``')
    """
    text = visible(text)
    if in_table:
        text = text.replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " * (longest > 0)
    return f"{fence}{space}{text}{space}{fence}"
