"""Links of pages: from paths in the repository to paths in the site."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,}).*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_TOP = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/conduct.md",
    "examples/tour.ipynb": "tour.md",
    "examples/third_party_method/README.md": "example_plugin.md",
}


@dataclass(frozen=True)
class SiteMap:
    """Where files of the repository are found in the site.

    Args:
        pages: path in the site of each page, by path in the repository.
        code: path in the site of the page of each file that is files as code.
        methods: names of the plugins that have a page.
    """

    pages: dict[str, str]
    code: dict[str, str]
    methods: tuple[str, ...]

    @classmethod
    def of(cls, root: Path) -> SiteMap:
        """Map of a checkout."""
        pages = dict(_TOP)
        for path in sorted((root / "docs").rglob("*.md")):
            pages[path.relative_to(root).as_posix()] = path.relative_to(root / "docs").as_posix()
        methods = sorted(path.parent.name for path in (root / "plugins").glob("*/README.md"))
        pages |= {f"plugins/{name}/README.md": f"methods/{name}.md" for name in methods}
        files = [
            path.relative_to(root).as_posix()
            for folder in ("configs", "tests", "ovss", "plugins", "examples", "tools")
            for path in (root / folder).rglob("*")
            if path.suffix in (".py", ".json", ".sh")
        ]
        code = {source: f"code/{source}.md" for source in [*files, "LICENSE", "CITATION.cff"]}
        return cls(pages, code, tuple(methods))

    def target(self, source: str) -> str | None:
        """Path in the site of a path in the repository; None if the site does not have it."""
        is_file = source.startswith("docs/") and not source.endswith(".md")
        if is_file or source.startswith("docs/api/"):  # pages of the API are made with the site
            return source.removeprefix("docs/")
        if source == "README.md":
            return "index.md"
        return self.pages.get(source) or self.code.get(source)


def links(text: str) -> Iterator[re.Match[str]]:
    """Links and images of a Markdown page, outside of code blocks."""
    fences = [fence.span() for fence in _FENCE.finditer(text)]
    for link in _LINK.finditer(text):
        if not any(start <= link.start() < end for start, end in fences):
            yield link


def _replaced(text: str, change: Callable[[re.Match[str]], str]) -> str:
    parts, place = [], 0
    for link in links(text):
        parts += [text[place : link.start()], change(link)]
        place = link.end()
    return "".join([*parts, text[place:]])


def is_relative(link: str) -> bool:
    """A link to another file of the repository."""
    return not link.startswith("#") and "://" not in link and not link.startswith("mailto:")


def resolve(link: str, source: str) -> tuple[str, str]:
    """Path in the repository of a relative link on a page, and its anchor with ``#`` or nothing."""
    path, mark, anchor = link.partition("#")
    place = os.path.normpath(PurePosixPath(source).parent / path)
    return PurePosixPath(place).as_posix(), mark + anchor


def rewritten(text: str, source: str, sites: SiteMap) -> str:
    """Text of a page of the repository with links that fit the site.

    A link to a folder, which the site does not show, becomes its text.

    Raises:
        ValueError: an image lies outside of docs, where the site does not find it.
    """
    own = PurePosixPath(sites.pages[source]).parent

    def change(link: re.Match[str]) -> str:
        is_image, label, address = link.groups()
        if not is_relative(address):
            return link.group()
        place, anchor = resolve(address, source)
        target = sites.target(place)
        if target is None and is_image:
            raise ValueError(
                f"{source} shows {place}, which is not in the site. Move the image below docs."
            )
        if target is None:
            return label
        inner = rewritten_label(label)
        return f"{is_image}[{inner}]({os.path.relpath(target, own)}{anchor})"

    def rewritten_label(label: str) -> str:
        return _replaced(label, change)

    return _replaced(text, change)


def linked_files(root: Path, sites: SiteMap) -> list[str]:
    """Files of the repository that pages link to and that are files as code."""
    found = {"LICENSE"}
    for source in sites.pages:
        if source.endswith(".ipynb"):
            continue
        for link in links((root / source).read_text(encoding="utf-8")):
            if is_relative(link[3]):
                found.add(resolve(link[3], source)[0])
    found |= {place for place in sites.code if place.startswith("configs/") and "/" in place[8:]}
    return sorted(found & sites.code.keys())
