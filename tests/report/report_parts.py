"""Parts of the tests of the report: a small plan, its cells, and a reader of its page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from ovss.report.plan import ComparedMethod, ReportPlan

VOID = {"meta", "img", "br", "link", "input", "hr"}
TINY = "maskclip_mini,model.encoder.pretrained=None"


def small_plan(**change) -> ReportPlan:
    """Two methods on a dataset with two images."""
    values = {
        "methods": (ComparedMethod("maskclip_mini"), ComparedMethod("dcp_clip_mini")),
        "datasets": ("mini_20",),
        "categories": (5, 30),
        "images": 2,
        "examples": 1,
    }
    return ReportPlan(**{**values, **change})


class Page(HTMLParser):
    """Elements, ids, links and addresses of a page; raises an error if tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.cells: dict[str, str] = {}
        self.current = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attributes)
        if known.get("id"):
            self.ids.append(str(known["id"]))
            self.current = str(known["id"])
            self.cells.setdefault(self.current, "")
        for key in ("href", "xlink:href", "src", "data", "action", "srcset"):
            value = known.get(key)
            if value and value.startswith("#"):
                self.links.append(value[1:])
            elif value and not value.startswith("data:image/png;base64,"):
                self.addresses.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        self.current = "" if tag in ("td", "th") else self.current

    def handle_data(self, data: str) -> None:
        if self.current:
            self.cells[self.current] += data


def markdown_cells(text: str) -> dict[str, str]:
    """Text of each anchored cell of a Markdown page."""
    pattern = re.compile(r'<a id="([^"]+)"></a>([^|\n]*?) (?=\|)')
    return {name: cell.strip().strip("*") for name, cell in pattern.findall(text)}


def read_pages(folder: Path) -> tuple[str, str]:
    """HTML and Markdown of a report."""
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()
