"""Files inside the folder of a model: found without leaving the folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from ovss.io.excerpts import excerpt
from ovss.io.regular import ensure_readable

from .records import SavedModelError

__all__ = ["file_in", "folder_root"]


def folder_root(folder: Path) -> Path:
    """Folder that may hold what links inside a model's folder lead to.

    The hub's cache keeps contents in ``blobs`` and links to them in ``snapshots/COMMIT``, so that a
    snapshot's root is the folder of its repository.
    """
    folder = folder.resolve()
    is_snapshot = folder.parent.name == "snapshots" and (folder.parents[1] / "blobs").is_dir()
    return folder.parents[1] if is_snapshot else folder


def file_in(folder: Path, name: str) -> Path:
    """Path of a file in a folder, which must be a regular file of that folder.

    Args:
        folder: folder of a model.
        name: path in the folder, with slashes.

    Raises:
        SavedModelError: an absolute path, one that leaves the folder by its parts or by a symbolic
            link, or something other than a regular file.
    """
    parts = PurePosixPath(name).parts
    if not parts or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts:
        raise SavedModelError(
            f"{folder} names the file {excerpt(name)}, which is not a path inside the folder. Use "
            f"an unedited copy"
        )
    path = folder.joinpath(*parts)
    root = folder_root(folder)
    if not Path(os.path.realpath(path)).is_relative_to(root):
        raise SavedModelError(
            f"{path} is a symbolic link that leads out of {folder}. Copy the file into the folder"
        )
    try:
        ensure_readable(path)
    except OSError as error:
        raise SavedModelError(
            f"{path} cannot be read ({error.strerror}). Copy the whole folder again"
        ) from None
    return path
