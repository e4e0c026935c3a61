"""Files around a case: what was there before, and whether everything written is whole."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open

CANARY = "canary"
"""File that code inside of data would write."""

Snapshot = dict[str, str]


def snapshot(folder: Path) -> Snapshot:
    """Digest of every regular file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if stat.S_ISREG(path.lstat().st_mode)
    }


def problems_of_files(
    folder: Path, before: Snapshot, may_change: tuple[str, ...] = ()
) -> Iterator[str]:
    """Files that were changed, or that are not whole.

    Args:
        folder: folder of the case.
        before: its files before the call.
        may_change: patterns of files that may change.
    """
    after, copies = snapshot(folder), set(before.values())
    for name, digest in before.items():
        if after.get(name) != digest and not any(fnmatch.fnmatch(name, p) for p in may_change):
            yield f"{name} was {'changed' if name in after else 'removed'}"
    for name in sorted(after):
        if after[name] in copies or name == CANARY:
            continue
        problem = _problem(folder / name)
        if problem:
            yield f"{name} {problem}"


def strict_json(text: str) -> Any:
    """Parses JSON; NaN and Infinity, which only Python reads, are errors."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _problem(path: Path) -> str:
    """What is wrong with a written file; empty if nothing is."""
    if path.suffix == ".lock":
        return ""
    if path.suffix in (".tmp", ".part") or (path.name.startswith(".") and "tmp" in path.name):
        return "was left behind"
    try:
        _read(path)
    except Exception as error:
        return f"is not whole ({type(error).__name__}: {str(error)[:150]})"
    return ""


def _read(path: Path) -> None:
    """Reads a file to its end; damage raises an error."""
    if path.suffix in (".png", ".jpg"):
        with Image.open(path) as image:
            image.load()
    elif path.suffix in (".json", ".geojson"):
        strict_json(path.read_text("utf-8"))
    elif path.suffix == ".jsonl":
        for line in path.read_text("utf-8").splitlines():
            strict_json(line)
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_slice(name)
    elif path.suffix in (".npy", ".npz"):
        loaded = np.load(path, allow_pickle=False)
        for name in getattr(loaded, "files", ()):
            loaded[name]
    elif path.suffix == ".pth":
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise ValueError("a damaged archive")
    elif path.suffix in (".md", ".html", ".txt", ".py"):
        path.read_text("utf-8")
