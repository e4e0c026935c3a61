"""Encoders that any method can use."""

from .open_clip import OpenCLIPEncoder
from .open_clip_convnext import OpenCLIPConvNeXtEncoder

__all__ = ["OpenCLIPConvNeXtEncoder", "OpenCLIPEncoder"]
