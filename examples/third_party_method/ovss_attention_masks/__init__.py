"""Masks by attention: the decoder of ZegCLIP (CVPR 2023, arXiv 2212.03588) as a plugin of ovss.

Importing this package registers `AttentionToMaskDecoder`.
"""

from .decoder import AttentionToMaskDecoder

__all__ = ["AttentionToMaskDecoder"]
