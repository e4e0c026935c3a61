"""A picture of the source, in the prepared folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ovss.files import write_atomic

__all__ = ["LINKS", "place"]

LINKS = ("hard", "symlink", "copy")


def place(source: Path, target: Path, link: str) -> None:
    """Put `source` at `target`, in one step: a hard link, a symbolic one, or a copy.

    Where a hard link is impossible (another disk, no right to), it is a copy.

    Raises:
        OSError: neither can be made.
    """
    if target.exists() and link == "hard" and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    if link == "symlink":
        temporary.symlink_to(source)
        temporary.replace(target)
        return
    if link == "hard":
        try:
            os.link(source, temporary)
            temporary.replace(target)
            return
        except OSError:
            temporary.unlink(missing_ok=True)
    with source.open("rb") as file:
        write_atomic(target, lambda copy: shutil.copyfileobj(file, copy, 1 << 20))
