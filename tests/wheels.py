"""The wheel of this checkout, and an environment that has it installed and nothing else of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path


def build_wheel(repo_root: Path, folder: Path) -> Path:
    """Builds the wheel from a copy of the tree, because building leaves things behind."""
    source = folder / "source"
    for part in ("ovss", "plugins", "configs"):
        shutil.copytree(repo_root / part, source / part)
    for part in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repo_root / part, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    command = [*pip, "wheel", str(source), "--no-deps", "-w", str(folder)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = folder.glob("ovss-*.whl")
    return wheel


def unpack(wheel: Path, site: Path) -> Path:
    """Unpacks a wheel, which has no scripts to install, and returns the folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def fresh_environment(wheel: Path, folder: Path) -> Path:
    """Virtual environment with a wheel, and with the dependencies of this one.

    Returns:
        Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = folder / "lib" / version / "site-packages"
    unpack(wheel, site)
    # a folder that a .pth file names is searched, and its own .pth files are not: so the checkout
    # that is installed for editing stays out
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"
