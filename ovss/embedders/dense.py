"""Embedding of a region as the mean of the encoder's dense tokens in it."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import RegionEmbedder
from ovss.ops import crop_padding, region_pool
from ovss.registry import EMBEDDERS
from ovss.structures import ImageFeatures, Proposals


@EMBEDDERS.register_module()
class DensePool(RegionEmbedder):
    """Averages the dense tokens of any encoder under each mask; without parameters.

    A token counts by the share of its cell that the mask covers, so that regions smaller than a
    cell have an embedding too.

    Args:
        soft: True to weigh pixels by the sigmoid of the mask; False to count the pixels whose mask
            logit exceeds 0.
        normalize: True to average the directions of the tokens, without their lengths.
    """

    def __init__(self, soft: bool = False, normalize: bool = False) -> None:
        super().__init__()
        self.soft, self.normalize = soft, normalize

    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """Mean token of each region, and False for regions without a pixel."""
        # padding is cut off separately, because masks and tokens may have been padded differently
        dense_BChw = crop_padding(features.dense_BChw, features.padding)
        mask_BQhw = proposals.mask_BQhw.masked_fill(~proposals.valid_BQ[:, :, None, None], -1.0)
        mask_BQhw = crop_padding(mask_BQhw, proposals.padding)
        inside_BQhw = mask_BQhw > 0
        weight_BQhw = mask_BQhw.sigmoid() if self.soft else inside_BQhw.to(dense_BChw.dtype)
        if self.normalize:
            dense_BChw = F.normalize(dense_BChw, dim=1)
        filled_BQ = inside_BQhw.flatten(2).any(2)
        return region_pool(dense_BChw, weight_BQhw), filled_BQ
