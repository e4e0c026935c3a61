"""Arrays of one segmentation: labels, scores, probability maps, and how sure the model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ovss.vocabularies.vocabulary import IGNORE

if TYPE_CHECKING:
    from ovss.structures import RegionScores, Scores

__all__ = ["UNSURE", "category_maps", "confidence_warning", "mean_scores"]

UNSURE = "Low confidence"
"""Beginning of the warning about a result of which the model is unsure."""

LOW_CONFIDENCE = {"sigmoid": 0.3, "softmax": 0.05, "none": 0.1}
"""Confidence below which a result gets a warning: the mean score of a pixel's best category, scaled
so that 0 is chance: one divided by the number of names with a softmax, and 0 otherwise."""


def category_maps(scores: Scores | RegionScores, size: tuple[int, int], count: int) -> np.ndarray:
    """Score maps (count, H, W) of the first categories at `size`, float32.

    The map of a category with several queries is the maximum of their maps. The scores are
    probabilities, but for methods that compare regions, whose scores are sums.
    """
    from ovss.inference import score_blocks  # exported models have no torch

    maps_KHW = np.zeros((count, *size), np.float32)
    categories = scores.text.categories(scores.selection.index_BK[0]).tolist()
    valid = scores.selection.valid_BK[0].tolist()
    for rows, part, maps_1kHW in score_blocks(scores, size):
        # one copy for the block, because a GPU is waited for at each of them
        for slot, map_HW in enumerate(maps_1kHW[0].float().cpu().numpy(), part.start):
            category = categories[slot]
            if valid[slot] and category < count:
                target_HW = maps_KHW[category, rows]
                np.maximum(target_HW, map_HW, out=target_HW)
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
        scores_T: mean score of each category over its pixels.
        pixels_T: number of pixels of each category.
        queries: number of names that compete for a pixel.
        activation: ``"sigmoid"``, ``"softmax"``, or ``"none"`` for sums over regions.
    """
    total = int(pixels_T.sum())
    if not total:
        return ""
    mean = float((scores_T * pixels_T).sum()) / total
    chance = 1 / queries if activation == "softmax" else 0.0
    if mean - chance >= LOW_CONFIDENCE[activation] * (1 - chance):
        return ""
    return (
        f"{UNSURE}: the best category of a pixel has a mean score of {mean:.2f}. The "
        f"categories may not fit the image, or the model may not know such images"
    )
