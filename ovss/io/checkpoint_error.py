"""Error of weight files."""

from __future__ import annotations

from .excerpts import some_of

__all__ = ["CheckpointError", "some_of"]


class CheckpointError(RuntimeError):
    """A weights file that cannot be read, or that does not fit the model."""
