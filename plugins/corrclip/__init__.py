"""CorrCLIP: CLIP whose last block attends inside regions, without training.

Importing this package registers `CorrCLIPEncoder` and `RetrievalCorrCLIPEncoder`.
"""

from .encoder import CorrCLIPEncoder
from .retrieval import RetrievalCorrCLIPEncoder

__all__ = ["CorrCLIPEncoder", "RetrievalCorrCLIPEncoder"]
