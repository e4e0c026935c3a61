"""Intervals of mIoU: how much it depends on which images were evaluated.

Images are drawn with replacement (bootstrap) and mIoU is computed again from their pixel counts.
Two methods are compared on the same draws, because hard images are hard for both. A draw misses a
third of the images, and with them categories that occur only there: where such categories are the
hard ones, draws score higher than all images together. Draws are therefore centred on the measured
value (`centred_draws`), and say how far it may move.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DRAWS",
    "Areas",
    "areas_of",
    "bootstrap_draws",
    "centred_draws",
    "drawn_miou",
    "image_miou",
    "interval",
]

DRAWS = 1000
"""Number of draws of an interval."""

Areas = NDArray[np.int64]
"""Counts (N, 5): image, category, correct, predicted and true pixels, where any is above 0."""


def areas_of(rows: Sequence[Sequence[int]]) -> Areas:
    """Counts of images from the rows of a cell."""
    return np.array(rows, np.int64).reshape(-1, 5)


def bootstrap_draws(images: int, draws: int = DRAWS, seed: int = 0) -> NDArray[np.int64]:
    """How often each image occurs in each draw, (D, I); rows have the sum `images`."""
    chosen_DI = np.random.default_rng(seed).integers(0, images, (draws, images))
    counts_DI = np.zeros((draws, images), np.int64)
    np.add.at(counts_DI, (np.arange(draws)[:, None], chosen_DI), 1)
    return counts_DI


def drawn_miou(areas: Areas, categories: int, counts_DI: NDArray[np.int64]) -> NDArray[np.float64]:
    """MIoU in percent of each draw (D,), over the categories with true pixels in the draw."""
    correct_IT, predicted_IT, true_IT = np.zeros((3, counts_DI.shape[1], categories))
    image_N, category_N = areas[:, 0], areas[:, 1]
    for grid_IT, column in zip((correct_IT, predicted_IT, true_IT), (2, 3, 4)):
        grid_IT[image_N, category_N] = areas[:, column]
    correct_DT, predicted_DT, true_DT = (
        counts_DI @ grid_IT for grid_IT in (correct_IT, predicted_IT, true_IT)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        iou_DT = correct_DT / (predicted_DT + true_DT - correct_DT)
    return 100 * np.nanmean(np.where(true_DT > 0, iou_DT, np.nan), axis=1)


def centred_draws(areas: Areas, categories: int, images: int) -> NDArray[np.float64]:
    """MIoU in percent of `DRAWS` draws (D,), moved so that their mean is that of all images.

    The draws are the same for all methods with the same number of images.
    """
    draws_D = drawn_miou(areas, categories, bootstrap_draws(images))
    measured = drawn_miou(areas, categories, np.ones((1, images), np.int64))
    return draws_D - np.nanmean(draws_D) + measured


def image_miou(areas: Areas, images: int) -> NDArray[np.float64]:
    """MIoU in percent of each image (I,), over its true categories; NaN without labels."""
    sums_I, counts_I = np.zeros((2, images))
    is_true_N = areas[:, 4] > 0
    image_N, correct_N = areas[is_true_N, 0], areas[is_true_N, 2]
    union_N = areas[is_true_N, 3] + areas[is_true_N, 4] - correct_N
    np.add.at(sums_I, image_N, correct_N / union_N)
    np.add.at(counts_I, image_N, 1)
    with np.errstate(invalid="ignore"):
        return 100 * sums_I / counts_I


def interval(values: NDArray[np.float64], share: float = 0.95) -> tuple[float, float]:
    """Central interval that holds a share of the values."""
    low, high = np.nanquantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
