"""Generic alignment heads that do not belong to a particular method."""

from .cosine import CosineHead

__all__ = ["CosineHead"]
