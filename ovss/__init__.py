"""Open-vocabulary semantic segmentation: any picture, any words, any method.

Names are loaded when they are first used, so that ``import ovss`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "segment": "api.inferencer",
    "Inferencer": "api.inferencer",
    "SegmentationResult": "api.result",
    "OpenVocabSegmentor": "segmentor",
    "build_segmentor": "models.build",
    "load_config": "models.configs",
    "load_vocabulary": "vocabularies",
    "list_vocabularies": "vocabularies",
    "Vocabulary": "structures",
    "ImageFeatures": "structures",
    "TextFeatures": "structures",
    "Selection": "selection",
    "Alignment": "structures",
    "Masks": "structures",
    "Scores": "structures",
    "IGNORE": "selection",
    "Encoder": "interfaces",
    "Selector": "interfaces",
    "AlignmentHead": "interfaces",
    "Decoder": "interfaces",
    "PostProcessor": "interfaces",
    "Criterion": "interfaces",
    "ENCODERS": "registry",
    "SELECTORS": "registry",
    "HEADS": "registry",
    "DECODERS": "registry",
    "POSTPROCESSORS": "registry",
    "LOSSES": "registry",
}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from .api.inferencer import Inferencer, SegmentationResult, segment
    from .interfaces import AlignmentHead, Criterion, Decoder, Encoder, PostProcessor, Selector
    from .models.build import build_segmentor
    from .models.configs import load_config
    from .registry import DECODERS, ENCODERS, HEADS, LOSSES, POSTPROCESSORS, SELECTORS
    from .segmentor import OpenVocabSegmentor
    from .structures import (
        IGNORE,
        Alignment,
        ImageFeatures,
        Masks,
        Scores,
        Selection,
        TextFeatures,
        Vocabulary,
    )
    from .vocabularies import list_vocabularies, load_vocabulary


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'ovss' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
