"""The bounds that `make setup` installs with cover everything that is installed."""

from __future__ import annotations

import configparser
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def tool(repo_root: Path):
    spec = importlib.util.spec_from_file_location("dep_tool", repo_root / "tools/dependencies.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def bounds(tool) -> dict[str, SpecifierSet]:
    """Name -> bound in constraints.txt."""
    lines = tool.CONSTRAINTS.read_text("utf-8").splitlines()
    each = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(str(one.specifier).startswith("<=") for one in each)
    return {one.name: one.specifier for one in each}


def test_the_page_lists_the_tested_versions(tool, bounds):
    page = tool.TABLE.read_text("utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \|", page, flags=re.M)
    listed = {canonicalize_name(name): f"<={version}" for name, version in rows}
    assert listed == {name: str(bound) for name, bound in bounds.items()}


def test_every_installed_dependency_has_a_bound(tool, bounds):
    here = f"version, Python {'.'.join(map(str, sys.version_info[:2]))}"
    if here not in tool.TABLE.read_text("utf-8") or sys.platform != "linux":
        pytest.skip(f"the list is of another system than {here} on {sys.platform}")
    assert sorted(tool.find_dependencies()) == sorted(bounds)


def test_lower_bounds_leave_the_tested_version(repo_root, bounds):
    parser = configparser.ConfigParser()
    parser.read(repo_root / "setup.cfg")
    texts = [parser["options"]["install_requires"]]
    texts += [parser["options.extras_require"][extra] for extra in ("test", "lint", "video")]
    for line in "\n".join(texts).split("\n"):
        if not line or line.startswith(("ovss", "#")):
            continue
        wanted = Requirement(line)
        tested = str(bounds[canonicalize_name(wanted.name)]).removeprefix("<=")
        assert wanted.specifier.contains(tested), line


def test_pillow_has_no_known_hole(repo_root):
    """12.3 mends the heap overflows of 2026 (CVE-2026-59197, -59199, -59205 and others)."""
    parser = configparser.ConfigParser()
    parser.read(repo_root / "setup.cfg")
    assert "pillow >= 12.3" in parser["options"]["install_requires"].split("\n")
