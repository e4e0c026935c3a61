"""Arrays of one segmentation: labels, scores, probability maps, and how sure the model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ovss.ops import resize
from ovss.selection import IGNORE

if TYPE_CHECKING:
    from ovss.structures import Scores

__all__ = ["UNSURE", "category_maps", "confidence_warning", "mean_scores"]

UNSURE = "Low confidence"
"""Beginning of the warning about a result of which the model is unsure."""

LOW_CONFIDENCE = {"sigmoid": 0.3, "softmax": 0.05}
"""Confidence below which a result gets a warning: the mean probability of a pixel's best category,
scaled so that 0 is chance: 0 with a sigmoid, one divided by the number of names with a softmax."""


def category_maps(scores: Scores, size: tuple[int, int], count: int) -> np.ndarray:
    """Probability maps (count, H, W) of the first categories at `size`, float32.

    The map of a category with several queries is the maximum of their maps.
    """
    maps_KHW = np.zeros((count, *size), np.float32)
    categories = scores.text.categories(scores.selection.index_BK[0]).tolist()
    for slot, is_valid in enumerate(scores.selection.valid_BK[0].tolist()):
        category = categories[slot]
        if is_valid and category < count:
            map_HW = resize(scores.probs_BKHW[:, slot : slot + 1], size)[0, 0].float().cpu().numpy()
            np.maximum(maps_KHW[category], map_HW, out=maps_KHW[category])
    return maps_KHW


def mean_scores(labels_HW: np.ndarray, best_HW: np.ndarray, count: int) -> np.ndarray:
    """Mean score of each of `count` categories over its pixels, float32; 0 if it has none."""
    known_HW = labels_HW != IGNORE
    labels_N = labels_HW[known_HW]
    sums_T = np.bincount(labels_N, best_HW[known_HW].astype(np.float64), count)
    return (sums_T / np.bincount(labels_N, minlength=count).clip(min=1)).astype(np.float32)


def confidence_warning(
    scores_T: np.ndarray, pixels_T: np.ndarray, queries: int, activation: str
) -> str:
    """Warning if the model is unsure almost everywhere; empty otherwise.

    Args:
        scores_T: mean probability of each category over its pixels.
        pixels_T: number of pixels of each category.
        queries: number of names that compete for a pixel.
        activation: ``"sigmoid"`` or ``"softmax"``.
    """
    total = int(pixels_T.sum())
    if not total:
        return ""
    mean = float((scores_T * pixels_T).sum()) / total
    chance = 1 / queries if activation == "softmax" else 0.0
    if mean - chance >= LOW_CONFIDENCE[activation] * (1 - chance):
        return ""
    return (
        f"{UNSURE}: the best category of a pixel has a mean probability of {mean:.2f}. The "
        f"categories may not fit the image, or the model may not know such images"
    )
