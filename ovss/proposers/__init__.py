"""Proposers of regions, which work inside an encoder."""

from .mask2former import Mask2FormerProposer
from .maskformer import MaskFormerProposer

__all__ = ["Mask2FormerProposer", "MaskFormerProposer"]
