"""CorrCLIP: CLIP whose last block attends inside regions, without training.

Importing this package registers `CorrCLIPEncoder`.
"""

from .encoder import CorrCLIPEncoder

__all__ = ["CorrCLIPEncoder"]
