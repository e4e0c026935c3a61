"""Wheel and source distribution: contents, and both commands in a fresh environment."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ovss
from tests.site.checkout import load_tool
from tests.wheels import call_outside, fresh_environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tool():
    return load_tool("build_dist")


@pytest.fixture(scope="module")
def built(tool, repo_root, tmp_path_factory) -> tuple[Path, Path]:
    """Source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    return tool.build_both(repo_root, folder / "out", folder)


def test_contents_are_whole_and_nothing_else(tool, built, repo_root):
    sdist, wheel = built
    assert sdist.name == f"ovss-{ovss.__version__}.tar.gz"
    assert wheel.name == f"ovss-{ovss.__version__}-py3-none-any.whl"
    assert tool.problems(sdist, wheel, repo_root) == []


def test_both_build_the_same_wheel(tool, built, repo_root, tmp_path):
    tool.copy_sources(repo_root, tmp_path / "tree")
    direct = tool.build_part("wheel", tmp_path / "tree", tmp_path / "out")
    assert tool.wheel_files(direct) == tool.wheel_files(built[1])


def test_the_check_finds_what_is_wrong(tool, built, tmp_path, repo_root):
    sdist, wheel = built
    copy = Path(shutil.copy(wheel, tmp_path / wheel.name))
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr("outputs/demo.png", b"")
        archive.writestr("ovss/notes.txt", f"see {repo_root}/x")
        archive.writestr("ovss/.cache/a.py", b"")
    found = "\n".join(tool.problems(sdist, copy, repo_root))
    assert "stray file outputs/demo.png" in found
    assert "ovss/notes.txt names a path of this machine" in found
    assert "stray file ovss/.cache/a.py" in found


@pytest.fixture(scope="module")
def scripts(built, tmp_path_factory) -> Path:
    """Folder `bin` of a new environment with the wheel."""
    return fresh_environment(built[1], tmp_path_factory.mktemp("fresh") / "env").parent


@pytest.fixture
def call(scripts, tmp_path):
    """Runs `ovss` of the new environment outside of the checkout."""
    return lambda *arguments: call_outside(scripts / "ovss", arguments, tmp_path)


def test_the_installed_command_segments(call, scripts, tmp_path):
    assert call("--version").split()[:2] == ["ovss", ovss.__version__]
    listing = call("list", "methods", "vocabularies", "plugins")
    assert all(name in listing for name in ("dcp_clip_vit-b16", "ade20k_150", "cat_seg"))
    code = "import ovss, ovss_plugins, ovss_configs as c; print(ovss.__file__, c.__path__)"
    command = [str(scripts / "python"), "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.count(str(scripts.parent)) == 2
    call("demo", "--images", "1", "--scenes", "2", "--baselines")
    scene = tmp_path / "outputs" / "demo" / "scenes" / "scene_0.png"
    call("segment", str(scene), "--vocabulary", "mini_20", "--model", "dcp_clip_mini")
    labels_HW = np.asarray(Image.open(tmp_path / "outputs" / "scene_0_labels.png"))
    assert labels_HW.shape == Image.open(scene).size[::-1]
    assert len(np.unique(labels_HW)) > 1


def test_the_installed_command_writes_a_plugin_and_checks_itself(call, tmp_path):
    call("new-plugin", "outside_seg")
    assert (tmp_path / "outside_seg" / "outside_seg" / "decoder.py").is_file()
    assert "ovss" in call("doctor")
