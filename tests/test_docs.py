"""What the documentation shows is true: its links lead somewhere, its plugin works."""

from __future__ import annotations

import re
import sys

import pytest

from ovss.testing import check_plugin

PAGES = ("README.md", "CONTRIBUTING.md", "docs", "plugins", "examples")


def pages(root):
    for place in PAGES:
        yield from [root / place] if place.endswith(".md") else sorted((root / place).rglob("*.md"))


def test_links_lead_somewhere(repo_root):
    dead = [
        f"{page.relative_to(repo_root)}: {link}"
        for page in pages(repo_root)
        for link in re.findall(r"\]\(([^)#]+)", page.read_text())
        if not link.startswith("http") and not (page.parent / link).exists()
    ]
    assert dead == []


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
