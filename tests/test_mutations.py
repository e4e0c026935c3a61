"""Planted bugs: each still applies, leaves valid code and names tests that exist."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def mutate(repo_root):
    """The script tools/mutate.py as a module."""
    path = repo_root / "tools" / "mutate.py"
    spec = importlib.util.spec_from_file_location("mutate", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module  # dataclasses look their module up
    before = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    for name in [n for n in sys.modules if n.partition(".")[0] in ("mutate", "mutating")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def bugs(mutate):
    return mutate.load_bugs()


def test_every_bug_applies_and_leaves_valid_code(bugs, repo_root):
    wrong = []
    for bug in bugs:
        source = (repo_root / bug.file).read_text(encoding="utf-8")
        try:
            ast.parse(bug.apply(source))
        except (ValueError, SyntaxError) as error:
            wrong.append(f"{bug.name}: {error}")
    assert not wrong, "change the lists in tools/mutations: " + "; ".join(wrong)


def test_every_bug_names_tests_that_exist(bugs, repo_root):
    for bug in bugs:
        assert bug.tests, bug.name
        for test in bug.tests:
            name, _, function = test.partition("::")
            path = repo_root / name
            assert path.is_file(), f"{bug.name}: {name} does not exist"
            function = function.partition("[")[0]
            assert f"def {function}" in path.read_text(encoding="utf-8"), f"{bug.name}: {test}"


def test_bugs_cover_every_kind_of_code(bugs):
    files = {bug.file for bug in bugs}
    rooms = {"/".join(file.split("/")[:2]) for file in files}
    assert len(bugs) >= 150
    plugins = {"cat_seg", "dcp_clip", "dpseg", "sed", "training_free"}
    assert {f"plugins/{name}" for name in plugins} <= rooms
    needed = {"api", "benchmark", "cli", "data", "encoders", "evaluation", "heads", "io", "losses"}
    needed |= {"models", "postprocessors", "prepare", "protocols", "results", "selectors"}
    needed |= {"training"}
    assert {f"ovss/{name}" for name in needed} <= rooms


def test_a_bug_that_no_longer_applies_is_refused(mutate):
    bug = mutate.PlantedBug("x", "a.py", "one", "two", ("tests/a.py",))
    assert bug.apply("one, three") == "two, three"
    for source in ("one, one", "three"):
        with pytest.raises(mutate.NotApplicableError, match=r"expected the old text once in a\.py"):
            bug.apply(source)


def outcome(mutate, name: str, status: str, key: str = "k"):
    return mutate.Outcome(name, "a.py", status, "", 1.0, key)


def test_results_of_caught_bugs_are_reused_and_missed_ones_tried_again(mutate, tmp_path):
    file = str(tmp_path / "found.json")
    mutate.store(file, [outcome(mutate, "a", "caught", "1"), outcome(mutate, "b", "MISSED", "2")])
    assert [row["bug"] for row in json.loads((tmp_path / "found.json").read_text())] == ["a", "b"]
    assert list(mutate.stored(file, again=False)) == ["1"]
    assert mutate.stored(file, again=True) == {}
    assert mutate.stored(None, again=False) == {}


def test_the_key_changes_with_bug_file_and_tests(mutate, tmp_path):
    bug = mutate.PlantedBug("x", "a.py", "one", "two", ("test_a.py::test",))
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "test_a.py").write_text("1")
    keys = {mutate.key_of(bug, tmp_path)}
    keys.add(mutate.key_of(replace(bug, new="three"), tmp_path))
    (tmp_path / "a.py").write_text("one!")
    keys.add(mutate.key_of(bug, tmp_path))
    (tmp_path / "test_a.py").write_text("2")
    keys.add(mutate.key_of(bug, tmp_path))
    assert len(keys) == 4
