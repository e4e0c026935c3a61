"""Generic decoders that do not belong to a particular method."""

from .upsample import UpsampleDecoder

__all__ = ["UpsampleDecoder"]
