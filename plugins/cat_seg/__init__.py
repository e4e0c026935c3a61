"""CAT-Seg: cost aggregation for open-vocabulary segmentation (Cho et al., CVPR 2024).

Importing this package registers `CATSegDecoder`.
"""

from .decoder import CATSegDecoder

__all__ = ["CATSegDecoder"]
