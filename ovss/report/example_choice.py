"""Choice of the example images of a dataset: those that methods label best and worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cells import Cell
from .intervals import areas_of, image_miou

__all__ = ["choose_examples", "mious_of_images"]


def mious_of_images(cell: Cell) -> list[float]:
    """MIoU in percent of each image, over the categories in its ground truth."""
    values = cell.values
    found: list[float] = image_miou(areas_of(values["areas"]), values["row"]["images"]).tolist()
    return found


def choose_examples(cells: Sequence[Cell], count: int) -> tuple[list[int], list[int]]:
    """Numbers of the best images and of the worst images, by mean over the methods.

    An image is never in both; images without labels are in neither.

    Args:
        cells: accuracy cells of methods on one dataset.
        count: largest number of images of each kind.
    """
    mean_I = np.mean([mious_of_images(cell) for cell in cells], axis=0)
    order = [int(i) for i in np.argsort(-mean_I, kind="stable") if not np.isnan(mean_I[i])]
    best = order[: min(count, len(order) // 2 + len(order) % 2)]
    worst = [i for i in order[::-1] if i not in best][:count]
    return best, worst
