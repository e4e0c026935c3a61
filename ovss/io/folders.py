"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .files import temporary_folder

__all__ = ["replaced_folder"]


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
