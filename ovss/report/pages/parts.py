"""Parts of sentences that the sections share."""

from __future__ import annotations

from ..document import Entry, Paragraph

__all__ = ["header_of", "paragraph", "plain", "quiet", "strong"]


def paragraph(*parts: Entry) -> Paragraph:
    """Paragraph of some parts."""
    return Paragraph(parts)


def plain(text: str) -> Entry:
    """Text as it is."""
    return Entry(text)


def strong(text: str) -> Entry:
    """Text that stands out."""
    return Entry(text, kind="strong")


def quiet(text: str) -> Entry:
    """Remark."""
    return Entry(text, kind="quiet")


def header_of(*titles: str) -> tuple[Entry, ...]:
    """First line of a table."""
    return tuple(map(Entry, titles))
