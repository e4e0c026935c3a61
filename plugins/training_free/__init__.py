"""Parts of training-free methods besides the dense modes: refinement by color, feature surgery.

Both serve any method. Importing this package registers `FeatureSurgeryHead` and `PAMR`.
"""

from .pamr import PAMR
from .surgery import FeatureSurgeryHead

__all__ = ["PAMR", "FeatureSurgeryHead"]
