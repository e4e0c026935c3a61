"""Regions of label maps: the pixels of one category, together or as connected components.

Methods that verify or refine a prediction look at its regions again: they average the features of a
region (`ops.region_pool`) or crop it from the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Region:
    """Pixels of one category in one image.

    Args:
        batch_index: index of the image in its batch.
        category: index of the category.
        mask_HW: True for the pixels of the region.
    """

    batch_index: int
    category: int
    mask_HW: Tensor

    def box(self) -> tuple[int, int, int, int]:
        """Bounding box as (top, left, bottom, right); bottom and right are exclusive.

        >>> mask = torch.zeros(4, 5, dtype=torch.bool)
        >>> mask[1:3, 2:5] = True
        >>> Region(0, 7, mask).box()
        (1, 2, 3, 5)
        """
        rows = self.mask_HW.any(1).nonzero()[:, 0]
        columns = self.mask_HW.any(0).nonzero()[:, 0]
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def find_regions(
    labels_BHW: Tensor,
    min_area: float = 0.0,
    connected: bool = False,
    wanted: Callable[[int], bool] | None = None,
) -> Iterator[Region]:
    """Yields the regions of label maps, image by image, in ascending order of category.

    Args:
        labels_BHW: label maps. Pixels with negative labels do not belong to any region.
        min_area: smallest area of a region, as a fraction of the image.
        connected: True to treat each connected component as a region, False for one region per
            category.
        wanted: predicate that selects categories; None selects all.

    >>> labels = torch.tensor([[[2, 2, 0, 2]]])
    >>> [(r.category, int(r.mask_HW.sum())) for r in find_regions(labels)]
    [(0, 1), (2, 3)]
    >>> [(r.category, int(r.mask_HW.sum())) for r in find_regions(labels, connected=True)]
    [(0, 1), (2, 2), (2, 1)]
    """
    min_pixels = min_area * labels_BHW[0].numel()
    for image, labels_HW in enumerate(labels_BHW):
        for category in labels_HW.unique().tolist():
            if category < 0 or (wanted is not None and not wanted(category)):
                continue
            masks = [labels_HW == category]
            if connected:
                masks = connected_components(masks[0])
            for mask_HW in masks:
                if int(mask_HW.sum()) >= min_pixels:
                    yield Region(image, category, mask_HW)


def connected_components(mask_HW: Tensor) -> list[Tensor]:
    """Connected components (8 neighbours) of a mask, each as a mask, in reading order."""
    count, parts = cv2.connectedComponents(mask_HW.to("cpu", torch.uint8).numpy(), connectivity=8)
    labels_HW = torch.from_numpy(parts.astype(np.int64)).to(mask_HW.device)
    return [labels_HW == part for part in range(1, count)]
