"""Proposers of regions, which work inside an encoder."""

from .folder import FolderProposer
from .oracle import OracleProposer
from .query import QueryProposer
from .sam import SAMProposer
from .superpixels import SuperpixelProposer

__all__ = [
    "FolderProposer",
    "OracleProposer",
    "QueryProposer",
    "SAMProposer",
    "SuperpixelProposer",
]
