"""RADSeg: training-free segmentation with one backbone, C-RADIO, and its language adaptor."""

from .encoder import RADSegEncoder

__all__ = ["RADSegEncoder"]
