"""Generic decoders."""

from .upsample import UpsampleDecoder

__all__ = ["UpsampleDecoder"]
