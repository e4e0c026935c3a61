"""Embedders of regions in the joint space of an encoder."""

from .dense import DensePool
from .pooled import PooledEmbedder

__all__ = [
    "DensePool",
    "PooledEmbedder",
]
