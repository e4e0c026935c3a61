"""Generic post-processors that do not belong to a particular method."""

from .background import Background
from .calibrated_stacking import CalibratedStacking
from .chain import Chain
from .denoise import Denoise
from .identity import Identity
from .region_mode import RegionMode

__all__ = ["Background", "CalibratedStacking", "Chain", "Denoise", "Identity", "RegionMode"]
