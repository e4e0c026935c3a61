"""Code in the folder of a model, which is imported with the user's permission only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["importable_from"]


@contextmanager
def importable_from(folder: Path) -> Iterator[None]:
    """Context in which modules of a folder can be imported; installed modules have precedence.

    Args:
        folder: folder that holds modules.
    """
    place = str(folder.resolve())
    sys.path.append(place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(place)
