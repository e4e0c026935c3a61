"""Generic alignment heads that do not belong to a particular method."""

from .cosine import CosineHead
from .dot_product import DotProductHead
from .region import RegionHead

__all__ = ["CosineHead", "DotProductHead", "RegionHead"]
