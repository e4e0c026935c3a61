"""Opening of files that refuses everything but regular files.

A named pipe blocks a reader until somebody writes, a device has no end, and a symbolic link that
someone placed at the name of an output would lead a writer to another file. Every reader of input
files and every writer that keeps a file open goes through this module.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

__all__ = [
    "ensure_readable",
    "ensure_regular",
    "inherited_pipe",
    "open_regular",
    "path_errors",
    "special_kind",
]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_DESCRIPTOR = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FLAGS = {
    "r": os.O_RDONLY,
    "a": os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW,
    "r+": os.O_RDWR | os.O_CREAT | _NOFOLLOW,
}


def special_kind(mode: int) -> str:
    """Kind of a file that is not regular, such as ``a named pipe``; empty for a regular file.

    Args:
        mode: `st_mode` of the file.

    >>> special_kind(stat.S_IFIFO | 0o644), special_kind(stat.S_IFREG)
    ('a named pipe', '')
    """
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "a special file")


def open_regular(
    path: str | os.PathLike[str],
    mode: str = "rb",
    *,
    encoding: str | None = None,
    errors: str | None = None,
) -> IO[Any]:
    """Opens a regular file; a pipe, socket, device or folder is refused and never waited for.

    Reading follows symbolic links to regular files. Writing does not follow a link, and refuses a
    file that has further names (hard links), because a change would appear under those as well.

    Args:
        path: file to open.
        mode: ``"r"`` or ``"rb"`` to read; ``"a"`` or ``"ab"`` to append; ``"r+"`` or ``"r+b"`` to
            read and write without truncation. The last two create the file if it is missing.
        encoding: encoding of text; None: UTF-8.
        errors: treatment of text that cannot be decoded, as in `open`.

    Raises:
        OSError: the file cannot be opened or is not a regular file. The error names `path`.
    """
    flags = _FLAGS[mode.replace("b", "")] | _NONBLOCK | _BINARY | getattr(os, "O_CLOEXEC", 0)
    with path_errors(path):
        if not flags & os.O_CREAT:
            _check(os.stat(path).st_mode, path)  # opening some devices has an effect already
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if flags & os.O_CREAT:
                ensure_regular(path, links=False)  # names the kind: a link, a folder, a socket
            raise error
        try:
            status = os.fstat(descriptor)
            _check(status.st_mode, path)
            if flags & os.O_CREAT and status.st_nlink > 1:
                raise OSError(errno.EMLINK, "expected a file with one name, found hard links")
            text = {} if "b" in mode else {"encoding": encoding or "utf-8", "errors": errors}
            return open(descriptor, mode, **text)  # type: ignore[call-overload]
        except BaseException:
            os.close(descriptor)
            raise


def ensure_regular(path: str | os.PathLike[str], *, links: bool = True) -> None:
    """Checks that a file can be created or replaced at a path: nothing special is there.

    A symbolic link to a regular file, or to nothing, is replaced by the new file, and the file
    that it leads to stays untouched. Names in ``/dev``, ``/proc`` and ``/sys``, such as
    ``/dev/stdout``, are refused even if they lead to a regular file.

    Args:
        path: file to write.
        links: False to refuse symbolic links.

    Raises:
        OSError: a folder, pipe, socket or device is at `path`. The error names it.
    """
    with path_errors(path):
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode) and not links:
                raise OSError(errno.ELOOP, "expected a regular file, found a symbolic link")
            _check(os.stat(path).st_mode, path)  # fails for a link that leads nowhere
        folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
        top = folder.split(os.sep)[1:3]
        if top[:1] in (["dev"], ["proc"], ["sys"]) and top != ["dev", "shm"]:
            raise OSError(errno.EINVAL, "expected a path of a regular file, found a system folder")


def ensure_readable(path: str | os.PathLike[str]) -> None:
    """Checks that a path leads to a regular file; for readers that open files by themselves.

    Raises:
        OSError: nothing is there, or a folder, device, pipe or socket. The error names `path`.
    """
    with path_errors(path):
        _check(os.stat(path).st_mode, path)


def inherited_pipe(path: str | os.PathLike[str]) -> IO[bytes] | None:
    """Open pipe that this process inherited, such as ``<(cat a.png)`` of a shell, or None.

    Args:
        path: any path. Only names of open descriptors (``/dev/stdin``, ``/dev/fd/63``) can be such
            a pipe; a named pipe elsewhere is not.
    """
    name = os.path.abspath(path)
    if not _DESCRIPTOR.fullmatch(name):
        return None
    return open(name, "rb") if stat.S_ISFIFO(os.stat(name).st_mode) else None


@contextmanager
def path_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Context in which errors about an impossible path are OSErrors that name the path."""
    name = os.fspath(path)
    try:
        yield
    except UnicodeEncodeError as error:
        raise OSError(errno.EINVAL, "the path holds characters that no path has", name) from error
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise OSError(errno.EINVAL, "a path cannot hold a NUL character", name) from error
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), name) from error


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    kind = special_kind(mode)
    if kind:
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"expected a regular file, found {kind}", os.fspath(path))
