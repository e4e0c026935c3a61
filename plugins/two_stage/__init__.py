"""Two-stage methods: MaskFormer proposes regions, CLIP classifies them.

ZegFormer (CVPR 2022), ZSSeg (ECCV 2022), OVSeg (CVPR 2023) and DeOP (ICCV 2023) are compositions of
shared components. Importing this package registers the components that only they use.
"""

from .deop import OnePassEmbedder
from .deop_loss import MergedMaps

__all__ = ["MergedMaps", "OnePassEmbedder"]
