"""SAM 3 as a method of open-vocabulary segmentation, with a category selector in front.

Importing this package registers `SAM3Encoder` and `SAM3Decoder`.
"""

from .decoder import SAM3Decoder
from .encoder import SAM3Encoder

__all__ = ["SAM3Decoder", "SAM3Encoder"]
