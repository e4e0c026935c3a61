"""Embedders of regions in the joint space of an encoder."""

from .dense import DensePool
from .pooled import PooledEmbedder
from .tokens import MaskTokens, QueryTokens

__all__ = [
    "DensePool",
    "MaskTokens",
    "PooledEmbedder",
    "QueryTokens",
]
