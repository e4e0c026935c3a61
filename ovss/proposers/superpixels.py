"""Superpixels as regions: parts of similar colour, without training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Proposer
from ovss.io.option_values import check_range
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

from .binary import binary_proposals, nominal_masks, shapeless
from .extras import proposer_extra


@PROPOSERS.register_module()
class SuperpixelProposer(Proposer):
    """Divides each image into superpixels with scikit-image's SLIC (extra ``superpixels``).

    Every pixel belongs to one superpixel, so the borders of the result are borders of colours.

    Args:
        regions: approximate number of superpixels of an image.
        compactness: weight of nearness against similar colours.
        sigma: standard deviation, in pixels, of the smoothing before.
        longest: longer side in pixels at which superpixels are computed, which bounds time and
            memory; None computes them at the size of the input.

    Raises:
        ImportError: scikit-image is not installed.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        regions: int = 100,
        compactness: float = 10.0,
        sigma: float = 0.0,
        longest: int | None = 480,
    ) -> None:
        super().__init__()
        check_range("SuperpixelProposer", 1, regions=regions)
        check_range("SuperpixelProposer", 0, compactness=compactness, sigma=sigma)
        if longest is not None:
            check_range("SuperpixelProposer", 1, longest=longest)
        self.slic = proposer_extra("skimage.segmentation", "superpixels", "SuperpixelProposer").slic
        self.regions, self.longest = regions, longest
        self.options = dict(compactness=compactness, sigma=sigma)

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        if self.longest is not None and max(image_B3HW.shape[2:]) > self.longest:
            scale = self.longest / max(image_B3HW.shape[2:])
            height, width = (max(1, round(side * scale)) for side in image_B3HW.shape[2:])
            image_B3HW = F.interpolate(
                image_B3HW.float(), (height, width), mode="bilinear", antialias=True
            )
        if shapeless(image_B3HW):
            return binary_proposals(nominal_masks(image_B3HW, self.regions), features)
        return binary_proposals([self._masks(image_3HW) for image_3HW in image_B3HW], features)

    def _masks(self, image_3HW: Tensor) -> Tensor:
        """Masks (Q, H, W) of the superpixels of one image."""
        rgb_HW3 = image_3HW.permute(1, 2, 0).double().cpu().numpy() / 255
        part = self.slic(rgb_HW3, n_segments=self.regions, start_label=0, **self.options)
        numbers, place = np.unique(part, return_inverse=True)
        place_HW = torch.from_numpy(place.reshape(part.shape)).to(image_3HW.device)
        return place_HW == torch.arange(len(numbers), device=place_HW.device)[:, None, None]
