"""Semantic-guided prompt refinement: what a first pass found becomes its own visual prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.layers.regions import Region, find_regions
from ovss.ops import region_pool
from ovss.structures import ImageFeatures

from .frozen import FrozenEncoder

CROPS = ("masked_bbox", "bbox", "masked", "pooled")


@dataclass(frozen=True)
class Refinement:
    """How detected categories get new visual prompts.

    Args:
        crop: ``masked_bbox``: the box around a category's pixels, everything else painted over;
            ``bbox``: the box as it is; ``masked``: the whole picture, everything else painted
            over, so that things keep their size; ``pooled``: nothing is encoded again, the
            picture's own features are averaged over the pixels.
        fill: colour outside the mask, RGB in 0..255, or ``mean``: the picture's mean colour.
        alpha: weight of the new prompts; 1 replaces the old ones.
        min_area: smaller regions are not used, as a share of the picture.
    """

    crop: str = "masked_bbox"
    fill: str | Sequence[float] = "mean"
    alpha: float = 1.0
    min_area: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop must be one of {', '.join(CROPS)}, got {self.crop!r}")
        if self.fill != "mean" and (isinstance(self.fill, str) or len(self.fill) != 3):
            raise ValueError(f"fill must be 'mean' or three numbers, got {self.fill!r}")
        for name, value in (("alpha", self.alpha), ("min_area", self.min_area)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in 0..1, got {value!r}")

    def regions(self, labels_HW: Tensor) -> list[Region]:
        """Pixels of each detected category, large enough ones."""
        return list(find_regions(labels_HW[None], self.min_area))

    def prompts(
        self,
        regions: list[Region],
        image_3HW: Tensor,
        image: ImageFeatures | None,
        frozen: FrozenEncoder,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """V (N, C) and GAP(V_j), each (N, level_dim), of N regions of one picture.

        Raises:
            ValueError: features are to be pooled, and the views had none of the whole picture.
        """
        if self.crop != "pooled":
            return frozen([cropped(image_3HW, r, self.crop, self.fill) for r in regions])
        if image is None:
            raise ValueError(
                "crop='pooled' averages features of the whole picture, but the views had none of "
                "it: set inference=dict(global_view=True)"
            )
        masks_1NHW = torch.stack([region.mask_HW for region in regions])[None].float()
        maps = (image.dense_BChw, *image.levels)
        embeds_NC, *levels = (region_pool(each[:1].float(), masks_1NHW)[0] for each in maps)
        return embeds_NC, tuple(levels)


def cropped(
    image_3HW: Tensor, region: Region, crop: str, fill: str | Sequence[float] = "mean"
) -> Tensor:
    """(3, H', W') the box around a region, float; see `Refinement`."""
    image_3HW = image_3HW.float()
    top, left, bottom, right = (0, 0, *image_3HW.shape[1:]) if crop == "masked" else region.box()
    box_3HW = image_3HW[:, top:bottom, left:right]
    if crop == "bbox":
        return box_3HW
    if isinstance(fill, str):
        colour_311 = image_3HW.mean((1, 2))[:, None, None]
    else:
        colour_311 = image_3HW.new_tensor(fill)[:, None, None]
    mask_HW = region.mask_HW[top:bottom, left:right].to(image_3HW.device)
    return torch.where(mask_HW, box_3HW, colour_311)
