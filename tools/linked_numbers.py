"""Brings numbers that link to a cell of a report up to date: in README, docs and plugins' READMEs.

    python tools/linked_numbers.py

A link such as ``[78.9](docs/mini_report/report.md#mini_150-dcp_clip_mini-miou)`` gets the value of
the cell that it leads to. Run it after a report was made again. A test calls `refreshed`.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VALUE = r"-?\d[\d.,]*(?: ± [\d.]+)?(?: \(\d+\))?"
"""A number, or the mean, the deviation and the count of a row of an ablation."""
LINK = re.compile(rf"\[({VALUE})\]\(([^)\s]*report\.md)#([\w.-]+)\)")


def pages() -> list[Path]:
    """Pages whose numbers may lead to a report; not the reports themselves."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    return [path for path in sorted(found) if path.name != "report.md"]


def value_of(report: Path, cell: str) -> str:
    """Value of a cell, as the report shows it.

    Raises:
        ValueError: if the report has no such cell.
    """
    text = report.read_text(encoding="utf-8")
    found = re.search(rf'<a id="{re.escape(cell)}"></a>\**({VALUE})', text)
    if found is None:
        raise ValueError(
            f"expected a cell {cell} in {report}, found none. Correct the link, or make the report "
            f"again with what it should measure."
        )
    return found[1]


def refreshed(page: Path) -> str:
    """Text of a page with the values of the cells that its numbers link to."""

    def put(link: re.Match[str]) -> str:
        value = value_of(page.parent / link[2], link[3])
        return f"[{value}]({link[2]}#{link[3]})"

    return LINK.sub(put, page.read_text(encoding="utf-8"))


def main() -> None:
    """Rewrites the pages whose numbers changed."""
    for page in pages():
        text = refreshed(page)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
