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
        host_HW: the same mask on the host; None if it is not there.
    """

    batch_index: int
    category: int
    mask_HW: Tensor
    host_HW: Tensor | None = None

    def box(self) -> tuple[int, int, int, int]:
        """Bounding box as (top, left, bottom, right); bottom and right are exclusive.

        >>> mask = torch.zeros(4, 5, dtype=torch.bool)
        >>> mask[1:3, 2:5] = True
        >>> Region(0, 7, mask).box()
        (1, 2, 3, 5)
        """
        mask_HW = self.mask_HW.cpu() if self.host_HW is None else self.host_HW
        rows, columns = (mask_HW.any(axis).nonzero()[:, 0] for axis in (1, 0))
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
    host_BHW = labels_BHW.cpu().numpy()  # the only time that a device is waited for
    for image, (labels_HW, host_HW) in enumerate(zip(labels_BHW, host_BHW, strict=True)):
        for category, area in zip(*np.unique(host_HW, return_counts=True), strict=True):
            if category < 0 or (wanted is not None and not wanted(int(category))):
                continue
            own_HW = host_HW == category
            if not connected and area >= min_pixels:
                part_HW = torch.from_numpy(own_HW)
                yield Region(image, int(category), labels_HW == int(category), part_HW)
            for each_HW in _components(own_HW) if connected else ():
                if each_HW.sum() >= min_pixels:
                    part_HW = torch.from_numpy(each_HW)
                    yield Region(image, int(category), part_HW.to(labels_HW.device), part_HW)


def connected_components(mask_HW: Tensor) -> list[Tensor]:
    """Connected components (8 neighbours) of a mask, each as a mask, in reading order."""
    parts = _components(mask_HW.cpu().numpy())
    return [torch.from_numpy(part_HW).to(mask_HW.device) for part_HW in parts]


def _components(mask_HW: np.ndarray) -> Iterator[np.ndarray]:
    count, parts_HW = cv2.connectedComponents(mask_HW.astype(np.uint8), connectivity=8)
    return (parts_HW == part for part in range(1, count))
