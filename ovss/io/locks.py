"""Locks between processes: a lock file that its owner holds open.

A lock ends with its process, however that ends, so no stale lock ever has to be removed by hand.
Where the system or the file system has no locks (Windows, some network file systems), nothing is
locked.
"""

from __future__ import annotations

import errno
import os
import weakref
from pathlib import Path
from typing import IO

from .regular import open_regular

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["HAS_LOCKS", "FileLock", "is_same_file", "try_lock"]

HAS_LOCKS = fcntl is not None
"""True if the system has locks that end with their process."""

_NONE_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_ATTEMPTS = 20
_HELD: weakref.WeakValueDictionary[tuple[int, int], _Held] = weakref.WeakValueDictionary()


class _Held:
    """Open file of a lock; the lock ends when the last `FileLock` that uses it is released."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        # one file and lock for all users in this process
        weakref.finalize(self, file.close)


def try_lock(descriptor: int, *, wait: bool = False) -> bool:
    """Locks an open file for this process.

    Args:
        descriptor: open file.
        wait: True to wait for another process instead of returning False.

    Returns:
        False if another process has the lock; True if it is taken, or if the system has no locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NONE_HERE:
            raise
    return True


def is_same_file(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """True if an open file is still the one at a path: not deleted, and not replaced."""
    try:
        there, here = os.lstat(path), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


class FileLock:
    """Lock of a folder or file until `release`, the end of a ``with`` block, or of the process.

    The lock file is created and holds the process id.

    Args:
        path: lock file, for example ``work_dir/.lock``.
        user: kind of work that holds the lock, for the message, for example ``"training"``.
        place: what the lock protects, for the message; None: the folder of `path`.
        again: True to take a lock that this process holds already, until both are released; False
            to refuse it, as for another process.
        wait: True to wait for another process instead of raising an error.

    Raises:
        BlockingIOError: another process holds the lock; the message names the place and, where it
            is known, the process.
        OSError: the lock file cannot be created, or something else is there, such as a link.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        user: str,
        place: str | os.PathLike[str] | None = None,
        *,
        again: bool = False,
        wait: bool = False,
    ) -> None:
        self.path = Path(path)
        self.place = Path(path).parent if place is None else Path(place)
        self._held: _Held | None = None
        if fcntl is None:  # an open file would also prevent renaming the folder on Windows
            return
        for _ in range(_ATTEMPTS):
            file = open_regular(self.path, "r+b")
            status = os.fstat(file.fileno())
            key = status.st_dev, status.st_ino
            if again and key in _HELD:
                file.close()
                self._held = _HELD[key]
                return
            if not try_lock(file.fileno(), wait=wait):
                raise self._busy(file, user)
            if is_same_file(file.fileno(), self.path):
                file.truncate(0)
                file.write(f"{os.getpid()}\n".encode())
                file.flush()
                self._held = _HELD[key] = _Held(file)
                return
            file.close()  # the previous owner deleted it in the meantime
        raise OSError(errno.EAGAIN, "cannot lock: the lock file changes all the time", str(path))

    def release(self, delete: bool = False) -> None:
        """Ends the lock; calling it again does nothing.

        Args:
            delete: True to delete the lock file as well.
        """
        if delete and self._held is not None:
            self.path.unlink(missing_ok=True)  # before the lock ends, so that it is still ours
        self._held = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release(delete=True)

    def _busy(self, file: IO[bytes], user: str) -> BlockingIOError:
        with file:
            owner = file.read(20).decode("ascii", "replace").strip()
        process = f" (process {owner})" if owner.isdecimal() else ""
        return BlockingIOError(
            errno.EWOULDBLOCK,
            f"in use by another {user}{process}. Wait for it, stop it, or choose another place",
            str(self.place),
        )


def _release_in_child() -> None:
    """Closes the copies of lock files in a forked process, which would keep the locks alive."""
    for held in list(_HELD.values()):
        held.file.close()
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
