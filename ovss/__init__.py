"""Open-vocabulary semantic segmentation: segment any image into any categories, with any method.

Public names are imported on first use, so ``import ovss`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_MODULES = {
    "segment": "api.inferencer",
    "Inferencer": "api.inferencer",
    "SegmentationResult": "api.result",
    "OpenVocabSegmentor": "segmentor",
    "create_model": "api.creation",
    "list_models": "results.catalogue",
    "build_segmentor": "models.build",
    "load_config": "models.configs",
    "load_vocabulary": "vocabularies",
    "list_vocabularies": "vocabularies",
    "Vocabulary": "vocabularies.vocabulary",
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

__all__ = ["__version__", *_MODULES]

if TYPE_CHECKING:
    from .api.creation import create_model
    from .api.inferencer import Inferencer, SegmentationResult, segment
    from .interfaces import AlignmentHead, Criterion, Decoder, Encoder, PostProcessor, Selector
    from .models.build import build_segmentor
    from .models.configs import load_config
    from .registry import DECODERS, ENCODERS, HEADS, LOSSES, POSTPROCESSORS, SELECTORS
    from .results.catalogue import list_models
    from .segmentor import OpenVocabSegmentor
    from .structures import (
        IGNORE,
        Alignment,
        ImageFeatures,
        Masks,
        Scores,
        Selection,
        TextFeatures,
    )
    from .vocabularies import list_vocabularies, load_vocabulary
    from .vocabularies.vocabulary import Vocabulary


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ovss' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
