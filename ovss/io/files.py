"""Atomic file writing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

__all__ = ["ensure_writable", "write_atomic", "write_text"]


def write_atomic(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file atomically, so that `path` never holds a partial file.

    `write` fills a temporary file in the same folder, which is then renamed to `path`.

    Args:
        path: file to create or replace. Missing folders are created.
        write: function that writes the content to the binary file it receives.

    Raises:
        OSError: the folder cannot be created or written, or the disk is full. The message names
            `path`, and the temporary file is removed.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            write(file)
        # Temporary files are private (0600). The umask can only be read by setting it.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write: {reason}", str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 text file atomically; raises the errors of `write_atomic`."""
    write_atomic(path, lambda file: file.write(text.encode()))


def ensure_writable(folder: str | os.PathLike[str]) -> None:
    """Creates a folder if it does not exist and checks that it can be written.

    Call this before long work whose result goes into the folder.

    Raises:
        OSError: the folder cannot be created or written. The message names it and the reason.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write here: {reason}", str(folder)) from error
