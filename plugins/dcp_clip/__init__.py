"""DCP-CLIP: dynamic category selection and text-guided alignment (arXiv 2603.13951).

Importing this package registers `DynamicCategorySelector`, `TextGuidedHead`, `SpatialDecoder` and
`TagValidation`.
"""

from .decoder import SpatialDecoder
from .head import TextGuidedHead
from .selector import DynamicCategorySelector
from .tag_validation import TagValidation

__all__ = ["DynamicCategorySelector", "SpatialDecoder", "TagValidation", "TextGuidedHead"]
