"""Writes the pages of the documentation site into `build/docs`, where mkdocs.yml looks for them.

    .venv/bin/python tools/build_site.py                  # then: mkdocs build --strict
    .venv/bin/python tools/build_site.py --figures        # also redraws docs/images/concepts.svg

Pages are the files of `docs/` and `plugins/*/README.md`, which also work as they are on the web
page of a repository. Links are changed to fit the site. Method pages get a figure, options,
configs, published results and licences from the code, and the API reference is made from
docstrings.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from site_pages.figures import concepts_figure, method_figure
from site_pages.links import SiteMap, linked_files, rewritten
from site_pages.methods import generated_sections, with_figure
from site_pages.notebook import notebook_page
from site_pages.reference import reference_pages

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "docs"
CONCEPTS = ROOT / "docs" / "images" / "concepts.svg"
_OF_REPORTS = ("cells", "report.html", ".lock")
"""Files of a report that its page does not show."""
_LANGUAGES = {".py": "python", ".json": "json", ".cff": "yaml", "": "text"}


def page_texts(sites: SiteMap) -> dict[str, str]:
    """Text of every page that a file of the repository gives, by its path in the site."""
    texts = {}
    for source, target in sites.pages.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".ipynb"):
            text = notebook_page(text)
        if target.startswith("methods/"):
            name = Path(target).stem
            text = with_figure(text, name) + generated_sections(name)
        texts[target] = rewritten(text, source, sites)
    texts["index.md"] = f"---\nhide: [navigation, toc]\n---\n\n{texts['index.md']}"
    return texts


def code_page(source: str) -> str:
    """Page that shows a file of the repository."""
    path = ROOT / source
    language = _LANGUAGES.get(path.suffix, "text")
    text = path.read_text(encoding="utf-8").rstrip()
    return f"# {path.name}\n\nFile `{source}` of the repository.\n\n````{language}\n{text}\n````\n"


def build(stage: Path) -> dict[str, str]:
    """Writes all pages and returns their texts by their paths in the site."""
    sites = SiteMap.of(ROOT)
    texts = page_texts(sites) | reference_pages()
    texts |= {sites.code[source]: code_page(source) for source in linked_files(ROOT, sites)}
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(ROOT / "docs", stage, ignore=shutil.ignore_patterns("*.md", *_OF_REPORTS))
    for path, text in texts.items():
        (stage / path).parent.mkdir(parents=True, exist_ok=True)
        (stage / path).write_text(text, encoding="utf-8")
    for name in sites.methods:
        figure = method_figure(name)
        if figure:
            target = stage / "images" / "methods" / f"{name}.svg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(figure, encoding="utf-8")
    return texts


def main() -> None:
    """Writes the pages."""
    parser = argparse.ArgumentParser(description="Write the pages of the site.")
    parser.add_argument("--figures", action="store_true", help="redraw docs/images/concepts.svg")
    args = parser.parse_args()
    if args.figures:
        CONCEPTS.write_text(concepts_figure(), encoding="utf-8")
    texts = build(STAGE)
    print(f"{len(texts)} pages: {STAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
