"""Generic category selectors."""

from .clip_top_k import ClipTopK
from .keep_all import KeepAll

__all__ = ["ClipTopK", "KeepAll"]
