"""Content of a report, independent of its format: sections of paragraphs, tables and figures.

Texts and numbers are formatted once, here, so that the HTML page and the Markdown file agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Block",
    "Chip",
    "Document",
    "Entry",
    "ExampleRow",
    "ExampleTile",
    "Examples",
    "Figure",
    "Folded",
    "Items",
    "Paragraph",
    "ProtocolUse",
    "ReportTable",
    "Section",
]


@dataclass(frozen=True)
class Entry:
    """Piece of text: a cell of a table or a part of a sentence.

    Args:
        text: text as it is shown.
        anchor: id by which links find it; empty for none.
        link: id that it links to; empty for none.
        note: remark that a reader sees when pointing at it.
        kind: ``best``, ``published``, ``failed``, ``quiet``, ``strong``, or empty.
        bar: share in 0..1 of a bar behind the text; None for no bar.
    """

    text: str
    anchor: str = ""
    link: str = ""
    note: str = ""
    kind: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Paragraph:
    """Sentence or sentences, in parts."""

    parts: tuple[Entry, ...]


@dataclass(frozen=True)
class Items:
    """List of paragraphs."""

    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class ReportTable:
    """Table.

    Args:
        title: title above it.
        header: cells of the first line.
        rows: cells of the other lines.
        texts: number of columns at the left that hold text.
        note: remark below it.
    """

    title: str
    header: tuple[Entry, ...]
    rows: tuple[tuple[Entry, ...], ...]
    texts: int = 1
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Drawing.

    Args:
        name: file name without ending, unique in the report; also its id.
        svg: SVG text that can stand inside of a page or alone in a file.
        caption: text below it.
        is_wide: True for a drawing as wide as the page.
    """

    name: str
    svg: str
    caption: str
    is_wide: bool = False


@dataclass(frozen=True)
class Chip:
    """Category in a legend: its name and its colour as ``#rrggbb``."""

    name: str
    color: str


@dataclass(frozen=True)
class ExampleTile:
    """Image of a row of examples.

    Args:
        title: title above it.
        png: PNG in base64.
        caption: text below it.
        chips: its largest categories.
        anchor: id by which links find it; empty for none.
    """

    title: str
    png: str
    caption: str = ""
    chips: tuple[Chip, ...] = ()
    anchor: str = ""


@dataclass(frozen=True)
class ExampleRow:
    """Image, ground truth and label maps of the methods, in one row."""

    title: str
    tiles: tuple[ExampleTile, ...]


@dataclass(frozen=True)
class Examples:
    """Rows of images."""

    title: str
    rows: tuple[ExampleRow, ...]


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown on demand."""

    title: str
    blocks: tuple[Paragraph | Items | ReportTable | Figure | Examples, ...]


Block = Paragraph | Items | ReportTable | Figure | Examples | Folded


@dataclass(frozen=True, order=True)
class ProtocolUse:
    """Protocol of some cells of a section.

    Args:
        name: name of the protocol.
        method_hash: hash of all its fields except those of the dataset.
        data: dataset.
        full_hash: hash of every field on this dataset.
        label: method, or row of an ablation.
    """

    name: str
    method_hash: str
    data: str
    full_hash: str
    label: str


@dataclass(frozen=True)
class Section:
    """Section of a report.

    Args:
        name: id of the section.
        title: title.
        blocks: content.
        protocols: protocols under which the values of the section were measured.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    protocols: tuple[ProtocolUse, ...] = ()

    def protocol_names(self) -> str:
        """Names of the protocols with their method hashes."""
        uses = dict.fromkeys((use.name, use.method_hash) for use in self.protocols)
        return ", ".join(f"{name} ({method_hash})" for name, method_hash in uses)

    def protocol_lines(self) -> list[str]:
        """One line for each protocol and dataset: its full hash, and the methods under it."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for use in self.protocols:
            group = groups.setdefault((use.name, use.data, use.full_hash), [])
            group += [use.label] * (use.label not in group)
        return [
            f"{name} on {data} (full hash {full_hash}): {', '.join(labels)}"
            for (name, data, full_hash), labels in groups.items()
        ]


@dataclass(frozen=True)
class Document:
    """Report.

    Args:
        title: title.
        lead: sentence below the title.
        sections: sections in their order.
    """

    title: str
    lead: str
    sections: tuple[Section, ...] = field(default=())

    def figures(self) -> list[Figure]:
        """All figures, in their order."""
        blocks = [block for section in self.sections for block in section.blocks]
        inner = [b for block in blocks if isinstance(block, Folded) for b in block.blocks]
        return [block for block in [*blocks, *inner] if isinstance(block, Figure)]
