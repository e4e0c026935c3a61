"""Generic post-processors that do not belong to a particular method."""

from .chain import Chain
from .identity import Identity

__all__ = ["Chain", "Identity"]
