"""Embeddings of regions from the last stage of a convolutional CLIP."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ovss.interfaces import RegionEmbedder
from ovss.layers.hard_pool import hard_pool
from ovss.ops import crop_padding
from ovss.registry import EMBEDDERS
from ovss.structures import ImageFeatures, Proposals

__all__ = ["PooledEmbedder"]


@EMBEDDERS.register_module()
class PooledEmbedder(RegionEmbedder):
    """Averages the last stage of CLIP over each region and then applies CLIP's head.

    CLIP treats an image in the same way, with the mean over all cells (FC-CLIP, NeurIPS 2023,
    section 3.3). The cells of a region are those where its mask logit, resized to the last stage,
    is positive. The head follows the mean, so that the result differs from a mean of dense tokens.

    Masks of a padded input are averaged with its padding, as published. Where only the image or
    only the masks are padded, padding is cut off.
    """

    tower = "convnext"

    def __init__(self) -> None:
        super().__init__()

    def forward(
        self, encoder: Any, features: ImageFeatures, image_B3HW: Tensor, proposals: Proposals
    ) -> tuple[Tensor, Tensor]:
        """Computes the embeddings (B, Q, C), and False (B, Q) for masks without a cell.

        Raises:
            ValueError: an encoder whose levels lack the last stage.
        """
        if 1 not in encoder.level_scales:
            raise ValueError(
                f"PooledEmbedder expects the last stage among the levels of the encoder, got "
                f"levels that are finer by {encoder.level_scales}. Add the last stage to `levels`."
            )
        last_BDhw = features.levels[encoder.level_scales.index(1)]
        mask_BQhw = proposals.mask_BQhw
        if features.padding != proposals.padding:  # masks and cells cover different areas
            last_BDhw = crop_padding(last_BDhw, features.padding)
            mask_BQhw = crop_padding(mask_BQhw, proposals.padding)
        pooled_BQD, filled_BQ = hard_pool(last_BDhw, mask_BQhw)
        visual = encoder.clip.visual
        # each mean is like an image of one cell
        embed_NC = visual.head(
            visual.trunk.forward_head(pooled_BQD.flatten(0, 1)[:, :, None, None])
        )
        return embed_NC.unflatten(0, filled_BQ.shape), filled_BQ
