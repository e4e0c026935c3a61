"""What an installed wheel says: it names no file that only a checkout has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for part in ("ovss", "plugins") for path in sorted((ROOT / part).rglob("*.py"))]


def messages(path: Path) -> list[str]:
    """Strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documented
    ]


@pytest.mark.parametrize("folder", ["docs/", "tools/", "tests/parity"])
def test_no_message_names_a_file_of_the_checkout(folder):
    found = {path.relative_to(ROOT).as_posix(): text
             for path in SOURCES for text in messages(path) if folder in text}  # fmt: skip
    assert found == {}
