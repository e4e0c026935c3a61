"""Embedders of regions in the joint space of an encoder."""

from .crops import CropEmbedder
from .pooled import PooledEmbedder

__all__ = ["CropEmbedder", "PooledEmbedder"]
