"""What training-free methods have beside their dense modes: refinement by colour, background,
feature surgery. All of it serves any method.

Importing this package registers `Background`, `FeatureSurgeryHead` and `PAMR`.
"""

from .background import Background
from .pamr import PAMR
from .surgery import FeatureSurgeryHead

__all__ = ["PAMR", "Background", "FeatureSurgeryHead"]
