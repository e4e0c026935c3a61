"""Runs notebooks with the interpreter of the tests."""

from __future__ import annotations

import copy
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

NEEDS = "needs:"
"""Start of the tag of a cell that runs only where a module is installed."""


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def lacks(cell: Any) -> list[str]:
    """Modules that a cell needs and that are missing."""
    tags = [tag for tag in cell.metadata.get("tags", ()) if tag.startswith(NEEDS)]
    return [tag[len(NEEDS) :] for tag in tags if not is_installed(tag[len(NEEDS) :])]


def execute(notebook: Any, folder: Path, root: Path, seconds: int = 300) -> Any:
    """Copy of a notebook with the outputs of its cells, without those whose module is missing."""
    nbclient = pytest.importorskip("nbclient", reason="needs the extra notebook")
    pytest.importorskip("ipykernel", reason="needs the extra notebook")
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class RunningInterpreter(KernelSpecManager):
        """Finds the interpreter of this process in place of the kernels of the machine."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
            env = {"PYTHONPATH": path, "IPYTHONDIR": str(folder), "OMP_NUM_THREADS": "1"}
            return KernelSpec(argv=argv, display_name="tests", language="python", env=env)

    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if not lacks(cell)]
    manager = AsyncKernelManager(kernel_spec_manager=RunningInterpreter())
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, km=manager, timeout=seconds, resources=resources).execute()
    return notebook
