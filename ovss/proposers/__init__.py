"""Proposers of regions, which work inside an encoder."""

from .maskformer import MaskFormerProposer

__all__ = ["MaskFormerProposer"]
