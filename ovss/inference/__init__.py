"""Inference on one image: cut it into views, segment each view, merge the scores.

The canvas is the image resized as the protocol asks. A view is a window of the canvas, or the whole
image, at the size on which the method works. Each view has its own selection of categories. Scores
are merged on the union of these selections, so a category that no view kept never gets a map.
"""

from ovss.geometry import InferenceConfig, window_origins

from .labels import best_labels, dense_scores, label_map, score_blocks
from .views import Stages, canvas_windows, merged_scores, segment_whole
from .windows import activate

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
