"""Embedders of regions in the joint space of an encoder."""

from .crops import CropEmbedder
from .dense import DensePool
from .pooled import PooledEmbedder
from .tokens import MaskTokens, QueryTokens

__all__ = [
    "CropEmbedder",
    "DensePool",
    "MaskTokens",
    "PooledEmbedder",
    "QueryTokens",
]
