"""A plugin that `ovss new-plugin` writes is whole, green, and never in the way of another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ovss.cli import main
from ovss.cli.new_plugin import new_plugin


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    assert main(["new-plugin", "edge-aware_seg", "--dir", str(folder)]) == 0
    return folder / "edge-aware_seg"


def test_everything_is_there_and_named(plugin):
    files = {path.relative_to(plugin).as_posix() for path in plugin.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "pyproject.toml",
        "edge_aware_seg/__init__.py",
        "edge_aware_seg/decoder.py",
        "edge_aware_seg/configs/edge_aware_seg_mini.py",
        "tests/test_edge_aware_seg.py",
    }
    text = "".join((plugin / name).read_text() for name in files)
    assert "@" not in text.replace("@DECODERS", "")
    assert "class EdgeAwareSegDecoder(Decoder)" in text
    assert 'name = "edge-aware-seg"' in text
    assert [path.name for path in plugin.parent.iterdir()] == ["edge-aware_seg"]


@pytest.mark.slow
def test_its_tests_pass_without_installing_it(plugin):
    inherited = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=plugin,
        env={**os.environ, "PYTHONPATH": inherited},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_it_keeps_the_house_rules(plugin, repo_root):
    pytest.importorskip("ruff", reason="ruff is not installed")
    for task in (["check"], ["format", "--check"]):
        command = [*task, "--no-cache", "--config", str(repo_root / "pyproject.toml"), "."]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], cwd=plugin, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_written_over(plugin, capsys):
    before = {path: path.read_bytes() for path in plugin.rglob("*.py")}
    assert main(["new-plugin", plugin.name, "--dir", str(plugin.parent)]) == 1
    assert "exists. Choose another name" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in plugin.rglob("*.py")}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Method", "plugin's name has lower-case"),
        ("../up", "plugin's name has lower-case"),
        ("2pass", "plugin's name has lower-case"),
        ("_seg", "plugin's name has lower-case"),
        ("class", "name of Python itself"),
        ("json", "name of Python itself"),
        ("torch", "already installed"),
        ("cat_seg", "config cat_seg_mini already exists"),
        ("upsample", "component UpsampleDecoder already exists"),
    ],
)
def test_names_are_checked(name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
