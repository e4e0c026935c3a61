"""House rules that neither the linter nor the import contract can see."""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovss.models.plugins import load_plugins
from ovss.registry import REGISTRIES, register_all

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "ovss").rglob("*.py"))
CODE = [
    path
    for folder in ("ovss", "plugins", "configs", "tools", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.ipynb")),
    *sorted((ROOT / "ovss" / "cli" / "skeleton").rglob("*.txt")),
]

ARCHAIC = re.compile(
    r"\b(pictures?|told|anew|beside|whatever|likewise|shall|comes? along|of one's own|"
    r"for want of|data sets?|(?:is|are) no (?!longer|more\b|less\b|better)\w+)\b",
    re.IGNORECASE,
)
"""Words that CONTRIBUTING.md replaces."""

RIDDLES = {"told", "said", "taken", "asked", "shown", "guilty", "mine", "picture", "pictures"}
"""Names that say nothing of what they hold."""

DATA = {"pictures", "a picture of a {}"}
"""Literals that are data and not language: a folder name of users, a prompt."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of strings, docstrings and comments; of pages and notebooks, every line."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(source)["cells"], 1):
            yield number, "".join(cell["source"])
        return
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), 1)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that is defined or assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def test_the_root_of_the_package_stays_small():
    files = [path.name for path in (ROOT / "ovss").iterdir() if path.is_file()]
    assert len(files) <= 14, sorted(files)


def test_only_tests_are_called_tests():
    outside = [path for path in CODE if path.name.startswith("test_") and "tests" not in path.parts]
    assert not outside


def test_the_core_names_no_plugin():
    register_all()
    load_plugins()
    classes = {
        name
        for registry in REGISTRIES
        for name, cls in registry.module_dict.items()
        if cls.__module__.startswith("ovss_plugins")
    }
    component = re.compile(rf"\b({'|'.join(sorted(classes))})\b")
    wrong = []
    for path in CORE:
        source = path.read_text(encoding="utf-8")
        if "ovss_plugins" in source and relative(path) != "ovss/models/plugins.py":
            wrong.append(f"{relative(path)}: ovss_plugins")
        wrong += [f"{relative(path)}: {name}" for name in set(component.findall(source))]
    assert not wrong


def test_lengths_are_read_in_a_way_that_graphs_understand():
    """``len(x_BC)`` is a number, ``x_BC.shape[0]`` a symbol when a model is exported."""
    length = re.compile(r"\blen\(\w*[a-z]\w*_(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{1,7}\)")
    outside = """api benchmark cli data drawing evaluation export hub io labelling losses mini_world
        models prepare results retrieval testing training web"""
    free = tuple(f"ovss/{place}/" for place in outside.split())
    graphs = [
        path
        for path in [*CORE, *sorted((ROOT / "plugins").rglob("*.py"))]
        if not relative(path).startswith(free)
    ]
    wrong = [
        f"{relative(path)}: {found}"
        for path in graphs
        for found in length.findall(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


def test_mmseg_is_behind_one_door():
    """It is slow to import, so that only the datasets' registry imports it, when it is used."""
    imports = re.compile(r"^\s*(from|import) mmseg|import_module\(.mmseg", re.MULTILINE)
    users = {relative(path) for path in CORE if imports.search(path.read_text(encoding="utf-8"))}
    assert users <= {"ovss/data/__init__.py", "ovss/data/transforms.py"}


def test_every_public_name_is_documented():
    missing = []
    for path in CORE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and not ast.get_docstring(node):
                missing.append(f"{relative(path)}:{node.lineno} {node.name}")
    assert not missing


def test_a_public_name_has_one_meaning():
    """A function or class is defined in one module only, except the parts of commands."""
    places: dict[str, list[str]] = {}
    for path in CORE:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and node.name not in ("add_arguments", "build_parser", "main", "run"):
                places.setdefault(node.name, []).append(relative(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=relative)
def test_language(path):
    found = [
        f"{relative(path)}:{line} {match.group(0)!r}"
        for line, text in text_of(path)
        for match in ARCHAIC.finditer(text)
        if text not in DATA
        if path.name != "CONTRIBUTING.md" or not text.startswith("| ")
    ]
    assert not found, "words that CONTRIBUTING.md replaces: " + "; ".join(found)


def find(reference: str) -> object:
    """Module, or what a module holds, by its full name; raises an AttributeError."""
    parts = reference.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[name] if name in fields else getattr(found, name)
        return found
    raise AttributeError(reference)


def test_full_names_in_docs_and_docstrings_exist():
    """`ovss.module.name` in backticks leads to something."""
    group = "ovss.plugins"
    wrong = []
    for path in {*CODE, *PAGES}:
        text = path.read_text(encoding="utf-8")
        for reference in re.findall(r"`((?:ovss|ovss_plugins)(?:\.\w+)+)(?:\(\))?`", text):
            try:
                if reference != group:
                    find(reference)
            except AttributeError:
                wrong.append(f"{relative(path)}: {reference}")
    assert not sorted(wrong)


def test_names_are_nouns():
    riddles = [
        f"{relative(path)}:{line} {name}"
        for path in CODE
        for line, name in names_of(ast.parse(path.read_text(encoding="utf-8")))
        if name in RIDDLES
    ]
    assert not riddles
