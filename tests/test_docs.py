"""What the documentation shows is true: its links lead somewhere, its plugin works."""

from __future__ import annotations

import functools
import json
import re
import sys

import pytest

from ovss.testing import check_plugin

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    ".github",
    "docs",
    "plugins",
    "examples",
)
FENCE = re.compile(r"^([ \t]*)```.*?^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
MARK = re.compile(r'<a id="([^"]+)"></a>')


def pages(root):
    for place in PAGES:
        yield from [root / place] if place.endswith(".md") else sorted((root / place).rglob("*.md"))


def prose(page):
    """Text of a page without its code blocks; of a notebook, its Markdown cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return FENCE.sub("", text)


@functools.cache
def anchors(page):
    """Anchors of the headings, as the web page of a repository and the site make them, and ids."""
    found = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        copies = (f"{anchor}-{number}" for number in range(1, 100))
        found.add(next(each for each in (anchor, *copies) if each not in found))
    return found | {mark.lower() for mark in MARK.findall(prose(page))}


def test_links_and_anchors_lead_somewhere(repo_root):
    dead = []
    for page in [*pages(repo_root), *(repo_root / "examples").rglob("*.ipynb")]:
        for link in LINK.findall(prose(page)):
            if "://" in link or link.startswith("mailto:"):
                continue
            path, _, anchor = link.partition("#")
            place = (page.parent / path).resolve() if path else page
            is_read = place.suffix in (".md", ".ipynb")
            if not place.exists() or (anchor and is_read and anchor.lower() not in anchors(place)):
                dead.append(f"{page.relative_to(repo_root)}: {link}")
    assert dead == []


def test_anchors_are_made_as_on_the_web(tmp_path):
    page = tmp_path / "x.md"
    page.write_text("# A `b`-c, (d) e\n## Two  x\n```\n# no\n```\n## [L](x.md) & m\n")
    assert anchors(page) == {"a-b-c-d-e", "two--x", "l--m"}


@pytest.fixture
def documented_plugin(repo_root, tmp_path, monkeypatch):
    """The package of docs/writing_a_plugin.md, as files; its name."""
    text = (repo_root / "docs" / "writing_a_plugin.md").read_text()
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    for name, code in blocks:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "ovss_margin"
    from ovss.registry import POSTPROCESSORS, SELECTORS

    SELECTORS.module_dict.pop("MarginSelector")
    POSTPROCESSORS.module_dict.pop("DropSmall")
    for name in ("ovss_margin", "ovss_margin.postprocessor", "ovss_margin.selector"):
        sys.modules.pop(name)


def test_documented_plugin_passes_the_suite(documented_plugin):
    check_plugin(documented_plugin)
