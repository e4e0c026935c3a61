"""Reservation of names in a folder that several processes write into."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from .files import temporary_name
from .locks import HAS_LOCKS, is_same_file, try_lock
from .regular import open_regular

__all__ = ["Reservation", "is_reserved", "reserve"]

_ATTEMPTS = 10
_SECONDS = 0.005  # far longer than `delete_leftovers` holds a lock


class Reservation:
    """Name that this process alone may use until `release`, or until the process ends.

    Args:
        path: file whose lock is the reservation.
        file: the file, locked; None where the system has no locks.
    """

    def __init__(self, path: Path, file: IO[bytes] | None) -> None:
        self._path, self._file = path, file

    def release(self) -> None:
        """Gives the name back; calling it again does nothing."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._path)  # before the lock ends, so that it is still ours
            self._file.close()
            self._file = None


def is_reserved(folder: str | os.PathLike[str], name: str) -> bool:
    """True if a living process has reserved a name; see `reserve`."""
    reservation = reserve(folder, name)
    if reservation is None:
        return True
    reservation.release()
    return False


def reserve(folder: str | os.PathLike[str], name: str) -> Reservation | None:
    """Reserves a name in a folder; the case of letters does not count.

    The reservation is a hidden file that its owner locks. What a killed process leaves is deleted
    by `ovss.io.files.delete_leftovers`, and it blocks nobody.

    Args:
        folder: folder of the files, created if missing.
        name: name or stem.

    Returns:
        The reservation, or None if another process has the name.

    Raises:
        OSError: the folder cannot be written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    folded = name.casefold()
    token = hashlib.sha256(folded.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    path = Path(folder) / temporary_name(folded, token)
    if not HAS_LOCKS:
        return Reservation(path, None)
    for _ in range(_ATTEMPTS):
        file = open_regular(path, "r+b")
        if try_lock(file.fileno()) and is_same_file(file.fileno(), path):
            return Reservation(path, file)
        file.close()
        time.sleep(_SECONDS)  # perhaps somebody deletes it as a leftover at this moment
    return None
