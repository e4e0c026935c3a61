"""What is installed is what is in the tree, under names that collide with nobody's."""

from __future__ import annotations

import configparser
import importlib.util
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image

from tests.wheels import build_wheel, unpack

PREFIXES = {"ovss": "ovss", "plugins": "ovss_plugins", "configs": "ovss_configs"}


@pytest.fixture(scope="module")
def setup_cfg(repo_root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(repo_root / "setup.cfg")
    return parser


def tree_packages(root: Path) -> set[str]:
    found = set()
    for folder, name in PREFIXES.items():
        for init in (root / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(root / folder).parts
            found.add(".".join([name, *inside]))
    return found


def test_every_package_of_the_tree_is_listed(setup_cfg, repo_root):
    listed = setup_cfg["options"]["packages"].split()
    assert sorted(listed) == listed
    assert set(listed) == tree_packages(repo_root)


def test_no_upper_bound_on_torch(setup_cfg):
    wanted = setup_cfg["options"]["install_requires"].split("\n")
    torch = [line for line in wanted if line.startswith("torch")]
    assert torch == ["torch >= 2.6", "torchvision"]


def test_mapped_names_are_importable():
    for name in ("ovss_plugins", "ovss_configs"):
        assert importlib.util.find_spec(name) is not None


def test_own_plugins_are_entry_points(repo_root):
    folders = {path.parent.name for path in (repo_root / "plugins").glob("*/__init__.py")}
    ours = {e.name: e.value for e in entry_points(group="ovss.plugins")}
    assert {name: f"ovss_plugins.{name}" for name in folders}.items() <= ours.items()


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(repo_root, tmp_path):
    """Configs, vocabularies and weights travel in the wheel; the command finds them there."""
    site = unpack(build_wheel(repo_root, tmp_path), tmp_path / "site")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import ovss; print(ovss.__file__)"
    code += "; from ovss.models.configs import config_dir; print(config_dir())"
    code += "; from ovss.cli import main; main(['list', 'methods', 'vocabularies'])"
    code += "; main(['new-plugin', 'outside_seg'])"
    code += "; sys.exit(main('segment p.png --words a,b --model maskclip_mini --cfg-options "
    code += "model.encoder.pretrained=None'.split()))"
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert str(site / "ovss") in done.stdout
    assert str(site / "ovss_configs") in done.stdout
    assert "ade20k_150" in done.stdout
    assert (tmp_path / "outputs" / "p_overlay.png").is_file()
    assert (tmp_path / "outside_seg" / "outside_seg" / "decoder.py").is_file()
