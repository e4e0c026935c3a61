"""Proposers of regions, which work inside an encoder."""

from .folder import FolderProposer
from .mask2former import Mask2FormerProposer
from .maskformer import MaskFormerProposer
from .oracle import OracleProposer
from .query import QueryProposer
from .sam import SAMProposer
from .superpixels import SuperpixelProposer

__all__ = [
    "FolderProposer",
    "Mask2FormerProposer",
    "MaskFormerProposer",
    "OracleProposer",
    "QueryProposer",
    "SAMProposer",
    "SuperpixelProposer",
]
