"""Embedders of regions in the joint space of an encoder."""

from .pooled import PooledEmbedder

__all__ = ["PooledEmbedder"]
