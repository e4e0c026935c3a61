"""Generic alignment heads."""

from .cosine import CosineHead

__all__ = ["CosineHead"]
