"""Generic post-processors."""

from .background import Background
from .chain import Chain
from .identity import Identity

__all__ = ["Background", "Chain", "Identity"]
