"""Files out: all or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

__all__ = ["ensure_writable", "write_atomic", "write_text"]


def write_atomic(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: never half a file.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; the message names
            `path`, and the temporary file is gone.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            write(file)
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
    """A UTF-8 file, whole or not at all; errors as in `write_atomic`."""
    write_atomic(path, lambda file: file.write(text.encode()))


def ensure_writable(folder: str | os.PathLike[str]) -> None:
    """Make a folder if need be and write into it, before work is done whose result it shall hold.

    Raises:
        OSError: naming the folder and the reason.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write here: {reason}", str(folder)) from error
