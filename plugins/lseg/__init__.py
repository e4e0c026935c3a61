"""LSeg: language-driven semantic segmentation (Li et al., ICLR 2022, arXiv 2201.03546).

Importing this package registers `LSegEncoder` and `SpatialBlockDecoder`.
"""

from .decoder import SpatialBlockDecoder
from .encoder import LSegEncoder

__all__ = ["LSegEncoder", "SpatialBlockDecoder"]
