"""Encoders that any method may use."""

from .open_clip import OpenCLIPEncoder

__all__ = ["OpenCLIPEncoder"]
