"""Components of training-free methods that work with any method.

They refine masks by colour, spread scores over similar patches and pixels, and compute the
similarity of CLIP Surgery. The dense modes of these methods are in `ovss.encoders`.

Importing this package registers `FeatureSurgeryHead`, `LPOSS`, `PAMR` and `PixelPropagation`.
"""

from .lposs import LPOSS
from .pamr import PAMR
from .pixel_propagation import PixelPropagation
from .surgery import FeatureSurgeryHead

__all__ = ["LPOSS", "PAMR", "FeatureSurgeryHead", "PixelPropagation"]
