"""Locks of folders between processes, which end with the process that holds them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

__all__ = ["lock_folder", "unlock_folder"]

_NAME = ".lock"
_held: dict[Path, IO[bytes]] = {}


def lock_folder(folder: Path) -> bool:
    """Locks a folder for this process; a killed process leaves no lock behind.

    On systems and file systems without such locks nothing happens.

    Returns:
        False if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    key = folder.resolve()
    if key in _held:
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _NAME).open("wb")
    except OSError:  # whoever writes here reports it
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    except OSError:  # such as some network file systems
        file.close()
        return True
    _held[key] = file
    return True


def unlock_folder(folder: Path) -> None:
    """Releases the lock of a folder, if this process holds it."""
    file = _held.pop(folder.resolve(), None)
    if file is not None:
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # also for forked processes that inherited it
        file.close()
