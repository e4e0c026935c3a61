"""Semantic-guided prompt refinement: builds new visual prompts from the masks of a first pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.io.excerpts import excerpt
from ovss.layers.regions import Region, find_regions
from ovss.ops import region_pool
from ovss.structures import ImageFeatures

from .frozen import FrozenEncoder

CROPS = ("masked_bbox", "bbox", "masked", "pooled")


@dataclass(frozen=True)
class Refinement:
    """Settings for new visual prompts of detected categories.

    Args:
        crop: input of the visual-prompt encoder. ``masked_bbox`` is the box around a category's
            pixels with everything else painted over, ``bbox`` is the plain box, ``masked`` is the
            whole image with everything else painted over, so that objects keep their size.
            ``pooled`` encodes nothing and averages the image's own features over the pixels.
        fill: colour outside of the mask, RGB in 0..255, or ``mean`` for the image's mean colour.
        alpha: weight of the new prompts; 1 replaces the old ones.
        min_area: smallest area of a region that is used, as a fraction of the image.

    Raises:
        ValueError: an argument out of range.
    """

    crop: str = "masked_bbox"
    fill: str | Sequence[float] = "mean"
    alpha: float = 1.0
    min_area: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(
                f"Refinement expects crop to be one of {', '.join(CROPS)}, but got "
                f"{excerpt(self.crop)}. Choose one of these values."
            )
        if self.fill != "mean" and (isinstance(self.fill, str) or len(self.fill) != 3):
            raise ValueError(
                f"Refinement expects fill to be 'mean' or three numbers, but got "
                f"{excerpt(self.fill)}. Give red, green and blue from 0 to 255."
            )
        for name, value in (("alpha", self.alpha), ("min_area", self.min_area)):
            if not 0 <= value <= 1:
                raise ValueError(
                    f"Refinement expects {name} between 0 and 1, but got {excerpt(value)}. Change "
                    f"{name}."
                )

    def regions(self, labels_HW: Tensor) -> list[Region]:
        """Regions of the detected categories that are large enough."""
        return list(find_regions(labels_HW[None], self.min_area))

    def prompts(
        self,
        regions: list[Region],
        image_3HW: Tensor,
        image: ImageFeatures | None,
        frozen: FrozenEncoder,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes V (N, C) and GAP(V_j), each (N, level_dim), of N regions of one image.

        Args:
            regions: regions of the image.
            image_3HW: the image, RGB in 0..255.
            image: features of the whole image, for ``pooled``.
            frozen: visual-prompt encoder, for the other crops.

        Raises:
            ValueError: `crop` is ``pooled`` and features of the whole image are missing.
        """
        if self.crop != "pooled":
            return frozen([crop_region(image_3HW, r, self.crop, self.fill) for r in regions])
        if image is None:
            raise ValueError(
                "Refinement with crop='pooled' expects features of the whole image, but no view "
                "covers it. Set inference=dict(global_view=True)."
            )
        masks_1NHW = torch.stack([region.mask_HW for region in regions])[None].float()
        maps = (image.dense_BChw, *image.levels)
        embeds_NC, *levels = (region_pool(each[:1].float(), masks_1NHW)[0] for each in maps)
        return embeds_NC, tuple(levels)


def crop_region(
    image_3HW: Tensor, region: Region, crop: str, fill: str | Sequence[float] = "mean"
) -> Tensor:
    """Cuts a region out of an image.

    Args:
        image_3HW: the image, RGB in 0..255.
        region: pixels of one category.
        crop, fill: see `Refinement`.

    Returns:
        (3, H', W'), float.
    """
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
