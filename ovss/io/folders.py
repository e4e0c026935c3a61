"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from .advice import advised
from .files import temporary_folder
from .names import printable

__all__ = ["ensure_replaceable", "replaced_folder"]


@contextmanager
def replaced_folder(folder: str | os.PathLike[str], check: Callable[[], None]) -> Iterator[Path]:
    """Context with an empty folder that takes the place of `folder` at the end.

    The old folder is deleted after the new one is in place. If the body raises an error, the old
    one stays as it is.

    Args:
        folder: folder to create or replace. Missing folders above it are created.
        check: raises an error if `folder` may not be replaced. It is called at the end, because
            something may have appeared there meanwhile.

    Raises:
        OSError: the folder cannot be created or renamed.
    """
    folder = Path(folder).absolute()
    with temporary_folder(folder.parent, folder.name) as temporary:
        place, old = temporary / "new", temporary / "old"
        place.mkdir()
        yield place
        check()
        if os.path.lexists(folder):
            os.rename(folder, old)
        try:
            os.rename(place, folder)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, folder)
            raise


def ensure_replaceable(
    folder: str | os.PathLike[str], kind: str, marker: str, files: Collection[str], overwrite: bool
) -> None:
    """Checks that files of one kind can be written to a folder, before long work and after it.

    A missing or empty folder can be used. Only a folder of the same kind can be replaced.

    Args:
        folder: folder to write.
        kind: what is written, in messages: "a model".
        marker: file that every folder of this kind has.
        files: names of all entries that such a folder may have, `marker` among them.
        overwrite: True if an older folder of this kind may be replaced.

    Raises:
        FileExistsError: the folder may not be replaced.
    """
    folder = Path(folder)
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise FileExistsError(f"{folder} exists and is not a folder. Choose another one")
    found = {path.name for path in folder.iterdir()}
    if not found:
        return
    if not (folder / marker).is_file():
        raise FileExistsError(
            f"The folder {folder} exists and is not {kind}: it has no file {marker}. Choose "
            f"another one"
        )
    if others := found - set(files):
        raise FileExistsError(
            f"The folder {folder} holds something other than {kind}, such as "
            f"{printable(min(others))}. Move it, or choose another folder"
        )
    if not overwrite:
        problem = FileExistsError(f"The folder {folder} holds {kind} already. Choose another one")
        raise advised(problem, "replace")
