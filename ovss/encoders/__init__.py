"""Encoders that any method can use."""

from .dino_text import DinoTextEncoder
from .open_clip import OpenCLIPEncoder
from .open_clip_convnext import OpenCLIPConvNeXtEncoder
from .proxy import ProxyEncoder
from .timm_clip import TimmCLIPEncoder
from .with_proposals import WithProposals

__all__ = [
    "DinoTextEncoder",
    "OpenCLIPConvNeXtEncoder",
    "OpenCLIPEncoder",
    "ProxyEncoder",
    "TimmCLIPEncoder",
    "WithProposals",
]
