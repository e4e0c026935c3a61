"""What the documentation shows is true: its links lead somewhere, its plugin works."""

from __future__ import annotations

import re
import sys

import pytest

from ovss import load_config
from ovss.models import find_config
from ovss.testing import LAWS, with_tiny_encoder

PAGES = ("README.md", "CONTRIBUTING.md", "docs", "plugins")


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
    """The plugin and the config of docs/writing_a_plugin.md, as files."""
    text = (repo_root / "docs" / "writing_a_plugin.md").read_text()
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    for name, code in blocks:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        code = code.replace("path/to/cat_seg_mini.py", str(find_config("cat_seg_mini")))
        path.write_text(code)
    (tmp_path / "ovss_margin" / "__init__.py").write_text("from .selector import MarginSelector\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "margin_mini.py"
    from ovss.registry import SELECTORS

    SELECTORS.module_dict.pop("MarginSelector")
    for name in ("ovss_margin", "ovss_margin.selector"):
        sys.modules.pop(name)


def test_documented_plugin_obeys_every_law(documented_plugin):
    model = with_tiny_encoder(load_config(documented_plugin))
    for law in LAWS:
        law(model)
