"""SAN: a side adapter network for open-vocabulary segmentation (Xu et al., CVPR 2023).

Importing this package registers `SANEncoder`.
"""

from .encoder import SANEncoder

__all__ = ["SANEncoder"]
