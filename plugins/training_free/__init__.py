"""Components of training-free methods that work with any method.

They refine masks by colour, handle a background category and compute CLIP Surgery's similarity.
The dense modes of these methods are in `ovss.encoders`.

Importing this package registers `Background`, `FeatureSurgeryHead` and `PAMR`.
"""

from .background import Background
from .pamr import PAMR
from .surgery import FeatureSurgeryHead

__all__ = ["PAMR", "Background", "FeatureSurgeryHead"]
