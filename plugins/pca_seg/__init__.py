"""PCA-Seg: parallel cost aggregation (Yin et al., CVPR 2026).

Importing this package registers `PCADecoder` and `DeCLIPEncoder`.
"""

from .decoder import PCADecoder
from .encoder import DeCLIPEncoder

__all__ = ["DeCLIPEncoder", "PCADecoder"]
