"""SED: a simple encoder-decoder for open-vocabulary segmentation (Xie et al., CVPR 2024).

Importing this package registers `GradualDecoder`.
"""

from .decoder import GradualDecoder

__all__ = ["GradualDecoder"]
