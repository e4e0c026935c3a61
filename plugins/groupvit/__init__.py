"""GroupViT: groups of image cells, trained from captions (Xu et al., CVPR 2022).

Importing this package registers `GroupViTEncoder` and `GroupHead`.
"""

from .encoder import GroupViTEncoder
from .head import GroupHead

__all__ = ["GroupHead", "GroupViTEncoder"]
