"""SPNet: semantic projection network for zero-shot segmentation (Xian et al., CVPR 2019).

Importing this package registers `WordVectorEncoder` and `ScaleMaxDecoder`.
"""

from .decoder import ScaleMaxDecoder
from .encoder import WordVectorEncoder

__all__ = ["ScaleMaxDecoder", "WordVectorEncoder"]
