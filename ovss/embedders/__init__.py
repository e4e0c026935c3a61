"""Embedders of regions in the joint space of an encoder."""

from .crops import CropEmbedder

__all__ = ["CropEmbedder"]
