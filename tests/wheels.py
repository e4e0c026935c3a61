"""The wheel of this checkout, and an environment that has it installed and nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.site.checkout import load_tool


def build_wheel(repo_root: Path, folder: Path) -> Path:
    """Builds the wheel from a copy of the tree, because building leaves things behind."""
    tool = load_tool("build_dist")
    tool.copy_sources(repo_root, folder / "source")
    wheel: Path = tool.build_part("wheel", folder / "source", folder)
    return wheel


def unpack(wheel: Path, site: Path) -> Path:
    """Unpacks a wheel, which has no scripts to install, and returns the folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def fresh_environment(wheel: Path, folder: Path) -> Path:
    """Virtual environment into which pip has installed a wheel, with the dependencies of this one.

    Returns:
        Its Python, with the scripts of the wheel in the same folder.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    flags = ["-q", "--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *flags], check=True, timeout=300)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = folder / "lib" / version / "site-packages"
    # a folder that a .pth file names is searched, and its own .pth files are not: so the checkout
    # that is installed for editing stays out
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def call_outside(program: Path, arguments: Sequence[str], folder: Path) -> str:
    """Runs a program of a fresh environment in a folder outside of the checkout.

    Returns:
        What it prints; a failure is an AssertionError with its output.
    """
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OVSS_CACHE"))
    }
    environment |= {"HF_HUB_OFFLINE": "1", "HOME": str(folder), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
