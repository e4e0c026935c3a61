"""EBSeg: image embedding balancing for open-vocabulary segmentation (Shan et al., CVPR 2024).

Importing this package registers `EBSegEncoder`.
"""

from .encoder import EBSegEncoder

__all__ = ["EBSegEncoder"]
