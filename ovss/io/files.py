"""Atomic file writing.

A file is written under a temporary name, ``.NAME.XXXXXXXX.ovss.tmp`` in the same folder, and then
renamed. Its writer holds a lock on it, which tells the file of a
living process from the remains of a killed one: the next process that writes into the folder
deletes what nobody locks.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .locks import HAS_LOCKS, is_same_file, try_lock
from .regular import ensure_regular, path_errors, special_kind

__all__ = [
    "delete_leftovers",
    "delete_tree",
    "ensure_target",
    "ensure_writable",
    "temporary_folder",
    "temporary_name",
    "write_atomic",
    "write_text",
]

_TEMPORARY = re.compile(r"\..{0,40}\.[0-9a-f]{8}\.ovss\.tmp", re.DOTALL)
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_ATTEMPTS = 100
_SHARE = 50  # listing a folder may take a fiftieth of the time
_next_listing: dict[str, float] = {}


def write_atomic(
    path: str | os.PathLike[str], write: Callable[[IO[bytes]], object], *, durable: bool = True
) -> None:
    """Writes a file atomically, so that `path` never holds a partial file.

    `write` fills a temporary file in the same folder, which is then renamed to `path`. A symbolic
    link at `path` is replaced by the file; the file that it leads to stays untouched.

    Args:
        path: file to create or replace. Missing folders are created.
        write: function that writes the content to the binary file it receives.
        durable: True to wait until the disk has the file, so that it survives a power failure as
            well. False suits many small files that can be made again.

    Raises:
        OSError: the folder cannot be created or written, the disk is full, or a folder, device or
            pipe is at `path`. The message names `path`, and the temporary file is removed.
    """
    try:
        ensure_target(path, check_folder=False)
        path, temporary = Path(path), None
        delete_leftovers(path.parent)
        try:
            with _new_file(path) as file:
                temporary = Path(file.name)
                write(file)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                if HAS_LOCKS:  # renamed while locked, so that nobody takes it for a leftover
                    os.replace(temporary, path)
            if not HAS_LOCKS:  # Windows, which does not rename open files
                os.replace(temporary, path)
            if durable:
                _sync_folder(path.parent)
        finally:
            if temporary is not None:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write: {reason}", os.fspath(path)) from error


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = True) -> None:
    """Writes a UTF-8 text file atomically; arguments and errors are those of `write_atomic`."""
    write_atomic(path, lambda file: file.write(text.encode()), durable=durable)


def ensure_target(path: str | os.PathLike[str], *, check_folder: bool = True) -> None:
    """Checks that a file can be created or replaced. Call this before long work.

    Args:
        path: file that will be written. Missing folders are created.
        check_folder: False to skip the test that the folder can be written.

    Raises:
        OSError: the folder cannot be created or written, or a folder, device, pipe or socket is at
            `path`. The message names it and the reason.
    """
    ensure_regular(path)
    with path_errors(path):
        folder = Path(path).absolute().parent
        if check_folder:
            ensure_writable(folder)
        else:
            _make_folder(folder)


def ensure_writable(folder: str | os.PathLike[str]) -> None:
    """Creates a folder if it does not exist and checks that it can be written.

    Call this before long work whose result goes into the folder.

    Raises:
        OSError: the folder cannot be created or written. The message names it and the reason.
    """
    try:
        _make_folder(Path(folder))
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write here: {reason}", str(folder)) from error
    delete_leftovers(folder)


@contextmanager
def temporary_folder(folder: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Context with a new folder inside another one, deleted at the end.

    Args:
        folder: folder to create it in, created if missing.
        name: start of its name, for people who find it.

    Raises:
        OSError: the folder cannot be created.
    """
    _make_folder(Path(folder))
    delete_leftovers(folder)
    place, descriptor = Path(folder) / temporary_name(name, secrets.token_hex(4)), None
    place.mkdir()
    try:
        if HAS_LOCKS:
            descriptor = os.open(place, os.O_RDONLY)
            try_lock(descriptor)
        yield place
    finally:
        delete_tree(place)
        if descriptor is not None:
            os.close(descriptor)


def temporary_name(name: str, token: str) -> str:
    """Name of a temporary file or folder that `delete_leftovers` recognises.

    Args:
        name: name of the file that it becomes.
        token: 8 hexadecimal digits.
    """
    return f".{name[:40]}.{token}.ovss.tmp"


def delete_leftovers(folder: str | os.PathLike[str], *, nested: bool = False) -> None:
    """Deletes temporary files and folders of ended processes directly inside a folder.

    One that a living process has locked stays. Without locks on this system, everything stays.
    Listing a folder of many files takes long, so a folder is listed only as often as a small share
    of the time allows.

    Args:
        folder: folder to clean.
        nested: True to clean the folders inside it as well; links are not followed.
    """
    if not HAS_LOCKS:
        return
    if nested:
        for place, _, _ in os.walk(folder):
            delete_leftovers(place)
        return
    key, start = os.path.abspath(folder), time.monotonic()
    if start < _next_listing.get(key, 0.0):
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            with suppress(OSError):
                _delete_if_unlocked(path)
    end = time.monotonic()
    _next_listing[key] = end + _SHARE * (end - start)


def delete_tree(folder: str | os.PathLike[str]) -> None:
    """Deletes a folder with its content, and nothing that links inside it lead to.

    Raises:
        OSError: the path is a symbolic link or no folder, or something cannot be deleted.
    """
    mode = os.lstat(folder).st_mode
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else special_kind(mode) or "a file"
        raise OSError(errno.ENOTDIR, f"expected a folder to delete, found {kind}", str(folder))
    shutil.rmtree(folder)


def _new_file(path: Path) -> IO[bytes]:
    """New file in the folder of `path`, locked by this process."""
    for _ in range(_ATTEMPTS):
        place = path.with_name(temporary_name(path.name, secrets.token_hex(4)))
        try:  # the system takes the umask off the mode
            descriptor = os.open(place, _FLAGS, 0o666)
        except FileExistsError:
            continue
        # between these two lines, another process may take the file for a leftover
        if try_lock(descriptor) and (not HAS_LOCKS or is_same_file(descriptor, place)):
            return open(place, "w+b", opener=lambda name, flags: descriptor)  # noqa: B023
        os.close(descriptor)
    raise OSError(errno.EEXIST, "no free name for a temporary file", str(path))


def _delete_if_unlocked(path: str) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not _is_free(descriptor) or not is_same_file(descriptor, path):
            return
        if stat.S_ISDIR(mode):
            delete_tree(path)
        elif stat.S_ISREG(mode):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """True if no process holds the lock; unlike `try_lock`, False without locks here."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    with path_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            kind = special_kind(os.stat(folder).st_mode) or "a file"
            raise OSError(errno.ENOTDIR, f"expected a folder, found {kind}", str(folder)) from None


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system can open folders and the file system syncs them."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a folder that may be written and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)
