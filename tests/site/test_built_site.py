"""The built site: strictly, offline, complete, and with a search that needs no server."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ovss
from tests.site.checkout import ROOT

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs: make docs"
    ),
]
NOWHERE = "http://127.0.0.1:9"
REMOTE = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?(?:src|data)=[\"']?"
    r"(?:https?:)?//|<link\b[^>]*?href=[\"']?(?:https?:)?//|@import|url\([\"']?(?:https?:)?//",
    re.IGNORECASE,
)
"""An asset that a page loads from another host; links of text are none."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site, made in a copy of the tree, without a network."""
    copy = tmp_path_factory.mktemp("checkout")
    for part in ("docs", "plugins", "configs", "examples", "tools", "tests", "ovss"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml", ROOT / "LICENSE", ROOT / "CITATION.cff"]:
        shutil.copy(path, copy)
    environment = os.environ | {"http_proxy": NOWHERE, "https_proxy": NOWHERE}
    for command in ("tools/build_site.py", "-m mkdocs build --strict"):
        done = subprocess.run(
            [sys.executable, *command.split()],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return copy / "build" / "site"


def test_no_page_loads_anything_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 200
    for path in [*pages, *site.rglob("*.css")]:
        found = REMOTE.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(site)}: {found.group()}"


@pytest.mark.parametrize(
    ("html", "is_remote"),
    [
        ('<script src="https://unpkg.com/x"></script>', True),
        ("<link rel=stylesheet href=https://fonts.x.org/css>", True),
        ("<script src=a.js></script>", False),
        ('<a href="https://arxiv.org">x</a>', False),
    ],
)
def test_the_check_finds_remote_assets(html, is_remote):
    assert bool(REMOTE.search(html)) is is_remote


def test_public_names_have_anchors(site):
    html = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    for name in ("segment", "Inferencer", "OpenVocabSegmentor", "Scores", "Encoder"):
        value = getattr(ovss, name)
        assert f'id="{value.__module__}.{value.__qualname__}"' in html


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_search_works_in_pages_opened_as_files(site):
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install 'ovss[test]'"
    )
    hosts: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda each: hosts.append(each.url))
        page.goto((site / "index.html").as_uri())
        page.locator(".md-search__input").click()
        page.keyboard.type("calibrated stacking", delay=20)
        result = page.locator(".md-search-result__link").first
        result.wait_for(timeout=60_000)
        assert "CalibratedStacking" in page.locator(".md-search-result__list").inner_text()
        for name in ("index", "gallery", "methods/dcp_clip", "api/inference"):
            page.set_viewport_size({"width": 400, "height": 800})
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{name} is wider than a telephone"
        browser.close()
    assert not [host for host in hosts if host.startswith("http")]
