"""Generic category selectors that do not belong to a particular method."""

from .bucketed import Bucketed
from .clip_top_k import ClipTopK
from .keep_all import KeepAll

__all__ = ["Bucketed", "ClipTopK", "KeepAll"]
