"""Embedders of regions in the joint space of an encoder."""

from .dense import DensePool

__all__ = ["DensePool"]
