"""Components of training-free methods that work with any method.

They refine masks by colour and compute the similarity of CLIP Surgery. The dense modes of these
methods are in `ovss.encoders`.

Importing this package registers `FeatureSurgeryHead` and `PAMR`.
"""

from .pamr import PAMR
from .surgery import FeatureSurgeryHead

__all__ = ["PAMR", "FeatureSurgeryHead"]
