"""Numbers that link to a cell of a report are those of the cell, and the README's claims link."""

from __future__ import annotations

import re

import pytest

from tests.site.checkout import ROOT, load_tool

TOOL = load_tool("linked_numbers")
PAGES = TOOL.pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_linked_number_is_that_of_its_cell(page):
    assert TOOL.refreshed(page) == page.read_text(encoding="utf-8"), "run tools/linked_numbers.py"


def claims() -> list[str]:
    """Rows of tables and points of the README's section on measurements."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## What has been measured")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith(("- ", "| `"))]


def test_every_claim_of_the_readme_links_to_where_it_was_measured():
    assert len(claims()) > 15
    for claim in claims():
        links = re.findall(r"\]\(([^)]+)\)", claim)
        assert links, claim
        if claim.startswith("|"):
            rest = re.sub(r"\[[\d.,]+\]\([^)]*report\.md#[^)]+\)", "", claim)
            assert not re.search(r"\b\d+\.\d", rest), claim


def test_a_link_without_a_cell_is_an_error(tmp_path):
    report = tmp_path / "report.md"
    report.write_text(
        '| <a id="mini-a-miou"></a>**78.9** | <a id="row-full"></a>1,031.9 ± 0.4 (3) |\n'
    )
    page = tmp_path / "page.md"
    page.write_text("[70.0](report.md#mini-a-miou) and [1](other.md#x)")
    assert TOOL.refreshed(page) == "[78.9](report.md#mini-a-miou) and [1](other.md#x)"
    page.write_text("[1.0 ± 2.0 (2)](report.md#row-full), [text](report.md#row-full)")
    assert TOOL.refreshed(page) == (
        "[1,031.9 ± 0.4 (3)](report.md#row-full), [text](report.md#row-full)"
    )
    page.write_text("[70.0](report.md#mini-b-miou)")
    with pytest.raises(ValueError, match=r"expected a cell mini-b-miou in .*report\.md, found"):
        TOOL.refreshed(page)
