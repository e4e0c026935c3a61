"""Inference on one image: cut it into views, segment each view, merge the scores.

The canvas is the image resized as the protocol asks. A view is a window of the canvas, or the whole
image, at the size on which the method works. Each view has its own selection of categories. Scores
are merged on the union of these selections, so a category that no view kept never gets a map.

Public names are imported on first use, because an exported model reads the geometry without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import InferenceConfig, window_origins
    from .labels import best_labels, dense_scores, label_map, score_blocks
    from .views import Stages, canvas_windows, merged_scores, segment_whole
    from .windows import activate

_MODULES = {
    "InferenceConfig": "config",
    "Stages": "views",
    "activate": "windows",
    "best_labels": "labels",
    "canvas_windows": "views",
    "dense_scores": "labels",
    "label_map": "labels",
    "merged_scores": "views",
    "score_blocks": "labels",
    "segment_whole": "views",
    "window_origins": "config",
}

__all__ = [
    "InferenceConfig",
    "Stages",
    "activate",
    "best_labels",
    "canvas_windows",
    "dense_scores",
    "label_map",
    "merged_scores",
    "score_blocks",
    "segment_whole",
    "window_origins",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ovss.inference' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
