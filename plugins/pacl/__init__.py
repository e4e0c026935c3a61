"""PACL: patch aligned contrastive learning (Mukhoti et al., CVPR 2023).

Importing this package registers `PatchAlignedHead` and the loss ``patch_contrastive``.
"""

from .head import PatchAlignedHead
from .loss import PatchContrastive

__all__ = ["PatchAlignedHead", "PatchContrastive"]
