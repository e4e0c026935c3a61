"""Generic post-processors that do not belong to a particular method."""

from .background import Background
from .calibrated_stacking import CalibratedStacking
from .chain import Chain
from .identity import Identity

__all__ = ["Background", "CalibratedStacking", "Chain", "Identity"]
