"""SCAN: semantic-assisted calibration for open-vocabulary segmentation (Liu et al., CVPR 2024).

Importing this package registers `SCANEncoder`.
"""

from .encoder import SCANEncoder

__all__ = ["SCANEncoder"]
