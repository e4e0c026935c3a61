"""Error of weight files, and the lists of names in its messages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["CheckpointError", "some_of"]

_MAX_LISTED = 5


class CheckpointError(RuntimeError):
    """A weights file that cannot be read, or that does not fit the model."""


def some_of(names: Sequence[str]) -> str:
    """Text that lists the first few names and counts the rest."""
    rest = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
