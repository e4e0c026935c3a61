"""Embedders of regions in the joint space of an encoder."""

from .tokens import MaskTokens, QueryTokens

__all__ = ["MaskTokens", "QueryTokens"]
