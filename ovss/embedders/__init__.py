"""Embedders of regions in the joint space of an encoder."""

<<<<<<< HEAD
from .crops import CropEmbedder
from .pooled import PooledEmbedder

__all__ = ["CropEmbedder", "PooledEmbedder"]
=======
from .tokens import MaskTokens, QueryTokens

__all__ = ["MaskTokens", "QueryTokens"]
>>>>>>> 20710e92c855733485fad6354a27aeeda3cc79d2
