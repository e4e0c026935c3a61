"""Generic decoders that do not belong to a particular method."""

from .compose import ComposeDecoder
from .upsample import UpsampleDecoder

__all__ = ["ComposeDecoder", "UpsampleDecoder"]
