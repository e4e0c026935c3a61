"""Every example in a docstring is run by pytest, and every example in the docs can be."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"ovss": "ovss", "plugins": "ovss_plugins", "configs": "ovss_configs"}
COLLECTED = ("ovss",)
"""Folders in which pytest itself finds doctests. Those of plugins run below, because they are
imported by the name of the installed package, and not by that of their folder."""
SKIPPED = {
    "ovss/api/coco.py": (1, "needs the results of a model"),
    "ovss/api/inferencer.py": (2, "downloads weights of CLIP"),
    "ovss/export/run.py": (2, "needs an exported model"),
}
"""Examples that are not run: their number in a file, and the reason."""
PLACES = ("ovss", "plugins", "configs", "tools", "examples")
PROMPT = re.compile(r"^\s*>>> ", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prompts(text: str) -> int:
    return len(PROMPT.findall(text))


FILES = {
    relative(path): path.read_text(encoding="utf-8")
    for place in PLACES
    for path in sorted((ROOT / place).rglob("*.py"))
}
WITH_EXAMPLES = sorted(name for name, source in FILES.items() if prompts(source))
PAGES = [
    page
    for place in ("*.md", "docs/*.md", "plugins/**/*.md", "examples/**/*.md")
    for page in sorted(ROOT.glob(place))
    if page.name != "CHANGELOG.md"
]


def module_of(name: str):
    folder, _, rest = name.partition("/")
    parts = rest.removesuffix(".py").split("/")
    return importlib.import_module(".".join([FOLDERS[folder], *parts]).removesuffix(".__init__"))


def examples_of(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(module_of(name))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_finder_sees_every_example_of_a_file(name):
    """A decorator that hides a function, or a nested function, would hide its examples."""
    assert name.partition("/")[0] in FOLDERS, "examples in scripts are not run"
    found = sum(len(test.examples) for test in examples_of(name))
    assert found == prompts(FILES[name])


def test_examples_stand_in_docstrings():
    for name in WITH_EXAMPLES:
        nodes = [
            node
            for node in ast.walk(ast.parse(FILES[name]))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        documented = sum(prompts(ast.get_docstring(node) or "") for node in nodes)
        assert documented == prompts(FILES[name]), f"{name} has examples outside of docstrings"


def test_pytest_runs_the_examples_of_the_package_by_default(pytestconfig):
    assert set(COLLECTED) <= set(pytestconfig.getini("testpaths"))
    assert pytestconfig.getoption("doctestmodules")
    outside = {name.partition("/")[0] for name in WITH_EXAMPLES} - set(COLLECTED)
    assert outside <= {"plugins", "configs"}


@pytest.mark.parametrize(
    "name", [name for name in WITH_EXAMPLES if name.partition("/")[0] not in COLLECTED]
)
def test_examples_of_plugins_and_configs(name):
    runner = doctest.DocTestRunner(verbose=False)
    for test in examples_of(name):
        runner.run(test)
    assert runner.failures == 0
    assert runner.tries == prompts(FILES[name])


def test_an_example_is_skipped_only_with_a_reason():
    found = {name: source.count("doctest: +SKIP") for name, source in FILES.items()}
    expected = {name: count for name, (count, _) in SKIPPED.items()}
    assert {name: count for name, count in found.items() if count} == expected


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_python_on_a_page_is_valid_and_names_what_exists(page):
    """Imports and keyword arguments of this package; pages of plugins may define their own."""
    text = page.read_text(encoding="utf-8")
    assert not prompts(text), "pages show plain code, because nothing would compare its output"
    for block in PYTHON.findall(text):
        tree = ast.parse(block.replace("\n...\n", "\npass\n"))
        imported = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and _is_own(node.module):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                    imported[alias.asname or alias.name] = getattr(module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if _is_own(alias.name):
                        imported[alias.asname or alias.name] = importlib.import_module(alias.name)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            _check_keywords(call, imported, page)


def _is_own(module: str | None) -> bool:
    return str(module).partition(".")[0] in ("ovss", "ovss_plugins")


def _check_keywords(call: ast.Call, imported: dict, page: Path) -> None:
    target = _resolved(call.func, imported)
    if target is None or not callable(target):
        return
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for keyword in call.keywords:
        if keyword.arg is not None:
            where = f"{relative(page)}: {ast.unparse(call)}"
            assert keyword.arg in parameters, f"{where} has no argument {keyword.arg}"


def _resolved(node: ast.expr, imported: dict):
    """Object that a dotted name stands for; None if it is not one of this package."""
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolved(node.value, imported)
        return getattr(owner, node.attr, None) if inspect.ismodule(owner) else None
    return None
