"""Report as one HTML page without scripts, fonts or files from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .document import Block, Document, Figure

__all__ = ["html_page"]

TEMPLATES = Path(__file__).with_name("templates")


def html_page(document: Document) -> str:
    """HTML of a report. All texts are escaped; only the figures are put in as they are.

    Raises:
        ImportError: jinja2 is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from ovss.io.text import visible

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    template = environment.get_template("report.html")
    return template.render(document=document, grouped=_grouped) + "\n"


def _grouped(blocks: Sequence[Block]) -> Iterator[tuple[str, Any]]:
    """Blocks with the name of their kind; neighbouring small figures are one block, ``figures``."""
    small: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure) and not block.is_wide:
            small.append(block)
            continue
        if small:
            yield "figures", small
            small = []
        yield type(block).__name__, block
    if small:
        yield "figures", small
