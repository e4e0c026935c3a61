"""Code blocks of pages, and the marks in front of them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(p for p in (ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "models").glob("index.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
FENCE = re.compile(
    r"(?:^[ \t]*<!-- *(?P<mark>[^\n]*?) *-->[ \t]*\n+)?"
    r"^(?P<indent>[ \t]*)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"(?P<kind>not run|slow|run by): (?P<text>.{4,})")
PROGRAMS = ("ovss", "make", "pip", "python", "pytest", "tools/", ".venv/", ".ci/", "torchrun",
            "tensorboard", "ray ", "git ", "docker ", "GPUS=", "NNODES=", "cd ")  # fmt: skip
COMMAND = re.compile(rf"^(?:{'|'.join(map(re.escape, PROGRAMS))})", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Code block of a page.

    Args:
        page: path of the page in the repository.
        line: number of the line of its fence.
        language: ``python`` or ``shell``.
        body: its text.
        mark: kind and text of the mark in front of it; None without one.
    """

    page: str
    line: int
    language: str
    body: str
    mark: tuple[str, str] | None

    @property
    def kind(self) -> str:
        """``not run``, ``slow``, ``run by``, or ``run`` without a mark."""
        return self.mark[0] if self.mark else "run"

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Blocks of a page that hold Python or commands; drawings, outputs and files are neither."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        body = re.sub(rf"^{fence['indent']}", "", fence["body"], flags=re.M)
        is_shell = fence["language"] in ("", "bash", "sh") and COMMAND.search(body)
        if fence["language"] != "python" and not is_shell:
            continue
        mark = MARK.fullmatch(fence["mark"] or "")
        line = text.count("\n", 0, fence.start("language")) + 1
        place = page.relative_to(ROOT).as_posix()
        language = "python" if fence["language"] == "python" else "shell"
        pair = (mark["kind"], mark["text"]) if mark else None
        found.append(Block(place, line, language, body, pair))
    return found


def commands(body: str) -> Iterator[str]:
    """Lines of a shell block without comments; a line that ends with a backslash goes on."""
    for line in body.replace("\\\n", " ").splitlines():
        text = re.sub(r"\s{2,}", " ", re.sub(r"(^|\s+)#\s.*$|^#.*$", "", line)).strip()
        if text:
            yield text


def inline_commands(page: Path) -> Iterator[tuple[int, str]]:
    """(line, command) of the commands in sentences: inline code with at least two words."""
    text = page.read_text(encoding="utf-8")
    prose = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    for code in re.finditer(r"(?<!`)`(?P<body>(?:ovss|python|[\w/]+\.py)\s[^`]+)`(?!`)", prose):
        yield prose.count("\n", 0, code.start()) + 1, " ".join(code["body"].split())


def words_of(command: str) -> list[str]:
    """Arguments of a command as a shell splits them."""
    return shlex.split(command)


def is_config(body: str) -> bool:
    """A block of plain assignments, as in a config."""
    nodes = ast.parse(body).body
    return all(isinstance(node, ast.Assign) for node in nodes) and "(" in body
