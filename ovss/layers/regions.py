"""Regions of label maps: which pixels carry one category, as a whole or part by part.

Second looks start from them: a region is pooled (`ops.region_pool`) or cut out of the picture.
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
    """Pixels of one image that carry one category."""

    batch_index: int
    category: int
    mask_HW: Tensor

    def box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of the smallest box around it; the last two are outside.

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
    """Regions of a label map, image by image, in ascending order of category.

    Args:
        labels_BHW: categories; negative ones are no region.
        min_area: smaller regions are passed over, as a share of the picture.
        connected: each connected part is a region; otherwise a category's pixels together.
        wanted: of which categories; None: of all.

    >>> labels = torch.tensor([[[2, 2, 0, 2]]])
    >>> [(r.category, int(r.mask_HW.sum())) for r in find_regions(labels)]
    [(0, 1), (2, 3)]
    >>> [(r.category, int(r.mask_HW.sum())) for r in find_regions(labels, connected=True)]
    [(0, 1), (2, 2), (2, 1)]
    """
    least = min_area * labels_BHW[0].numel()
    for image, labels_HW in enumerate(labels_BHW):
        for category in labels_HW.unique().tolist():
            if category < 0 or (wanted is not None and not wanted(category)):
                continue
            masks = [labels_HW == category]
            if connected:
                masks = components(masks[0])
            for mask_HW in masks:
                if int(mask_HW.sum()) >= least:
                    yield Region(image, category, mask_HW)


def components(mask_HW: Tensor) -> list[Tensor]:
    """Parts that hang together by sides or corners, each a mask, in reading order."""
    count, parts = cv2.connectedComponents(mask_HW.to("cpu", torch.uint8).numpy(), connectivity=8)
    labels_HW = torch.from_numpy(parts.astype(np.int64)).to(mask_HW.device)
    return [labels_HW == part for part in range(1, count)]
