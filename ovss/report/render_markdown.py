"""Report as Markdown, with its figures and examples in files."""

from __future__ import annotations

from collections.abc import Sequence

from ovss.io.markdown import code_span, markdown_text

from .anchors import slug
from .document import (
    Block,
    Document,
    Entry,
    Examples,
    Figure,
    Folded,
    Items,
    Paragraph,
    ReportTable,
)

__all__ = ["example_file", "figure_file", "markdown_page"]


def figure_file(figure: Figure) -> str:
    """Path of a figure's file in the folder of the report."""
    return f"figures/{figure.name}.svg"


def example_file(examples: Examples) -> str:
    """Path of a sheet of examples in the folder of the report."""
    return f"figures/{slug(examples.title)}.png"


def markdown_page(document: Document) -> str:
    """Markdown of a report; figures are files, see `figure_file` and `example_file`."""
    lines = [f"# {markdown_text(document.title)}", "", markdown_text(document.lead), ""]
    lines += [f"- [{markdown_text(s.title)}](#{s.name})" for s in document.sections]
    for section in document.sections:
        lines += ["", f'<a id="{section.name}"></a>', "", f"## {markdown_text(section.title)}"]
        for block in section.blocks:
            lines += ["", *_block(block)]
        if section.protocols:
            names = markdown_text(section.protocol_names())
            lines += ["", f"Protocols and their hashes: {names}.", ""]
            lines += [f"- {markdown_text(line)}" for line in section.protocol_lines()]
    return "\n".join([*lines, ""])


def _block(block: Block) -> list[str]:
    if isinstance(block, Paragraph):
        return [_sentence(block)]
    if isinstance(block, Items):
        return [f"- {_sentence(each)}" for each in block.paragraphs]
    if isinstance(block, ReportTable):
        return _table(block)
    if isinstance(block, Figure):
        caption = markdown_text(block.caption)
        return [f'<a id="{block.name}"></a>![{caption}]({figure_file(block)})', "", caption]
    if isinstance(block, Examples):
        return [f"![{markdown_text(block.title)}]({example_file(block)})",
                "", f"{markdown_text(block.title)}."]  # fmt: skip
    return _folded(block)


def _folded(block: Folded) -> list[str]:
    lines = [f"<details><summary>{markdown_text(block.title)}</summary>"]
    for inner in block.blocks:
        lines += ["", *_block(inner)]
    return [*lines, "", "</details>"]


def _sentence(block: Paragraph) -> str:
    return "".join(map(_entry, block.parts))


def _entry(part: Entry, in_table: bool = False) -> str:
    """Text, link or anchor of a piece of text."""
    if not part.text.strip():
        return f'<a id="{part.anchor}"></a>' if part.anchor else part.text
    text = code_span(part.text, in_table) if part.kind == "code" else markdown_text(part.text)
    if part.kind in ("strong", "best"):
        core = text.strip()
        # bold text does not begin or end with a space in Markdown
        start = text[: len(text) - len(text.lstrip())]
        text = f"{start}**{core}**{text[len(start) + len(core) :]}"
    if part.link:
        text = f"[{text}](#{part.link})"
    return f'<a id="{part.anchor}"></a>{text}' if part.anchor else text


def _table(block: ReportTable) -> list[str]:
    rule = ["---"] * block.texts + ["---:"] * (len(block.header) - block.texts)
    rows: Sequence[Sequence[str]] = [
        [_entry(part, in_table=True) for part in row] for row in (block.header, *block.rows)
    ]
    lines = [rows[0], rule, *rows[1:]]
    table = ["| " + " | ".join(row) + " |" for row in lines]
    title = [f"### {markdown_text(block.title)}", ""] if block.title else []
    return [*title, *table, *(["", markdown_text(block.note)] if block.note else [])]
