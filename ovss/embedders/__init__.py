"""Embedders of regions in the joint space of an encoder."""

from .pooled import PooledEmbedder
from .tokens import MaskTokens, QueryTokens

__all__ = ["MaskTokens", "PooledEmbedder", "QueryTokens"]
