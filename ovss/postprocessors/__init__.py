"""Generic post-processors."""

from .chain import Chain
from .identity import Identity

__all__ = ["Chain", "Identity"]
