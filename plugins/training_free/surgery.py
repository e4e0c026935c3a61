"""Feature surgery: removes what the cosines of all categories have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.ops import cosine_volume
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


@HEADS.register_module()
class FeatureSurgeryHead(AlignmentHead):
    """CLIP Surgery's similarity (arXiv 2304.05653, section 3.3).

    Each category is weighted by its similarity to the whole image, relative to the mean category.
    The mean over the categories, which is what they share, is then subtracted:

        p = softmax over categories of  sharpness * cos(image, category)
        volume = w cos(cell, category) - mean over categories of (w cos(cell, category))
        w = p / mean(p)

    The paper subtracts the mean from products of channels and sums over the channels afterwards.
    Here the channels are summed first, which gives the same result without a tensor of (cells,
    categories, channels). Categories are those that the selection keeps. Templates are averaged,
    as in the paper. With a single category the volume is zero.

    Args:
        sharpness: factor of the cosines in the softmax, 2 in the authors' code.

    Raises:
        ValueError: a negative factor.
    """

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        check_range("FeatureSurgeryHead", 0, sharpness=sharpness)
        self.cost_dim = 1
        self.sharpness = sharpness

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        """Computes the weighted cosines without their mean over the categories."""
        embeds_TC = F.normalize(text.trained_mean_TC, dim=1)
        text_BK1C = selection.gather(embeds_TC[:, None])
        valid_BK = selection.valid_BK.to(embeds_TC.device)
        similar_BK = (text_BK1C[:, :, 0] @ F.normalize(image.pooled_BC, dim=1)[:, :, None])[..., 0]
        similar_BK = (self.sharpness * similar_BK).masked_fill(~valid_BK, -torch.inf)
        count_B1 = valid_BK.sum(1, keepdim=True)
        weight_BK111 = (similar_BK.softmax(1) * count_B1)[:, :, None, None, None]
        volume_BK1hw = weight_BK111 * cosine_volume(image.dense_BChw, text_BK1C)
        shared_B11hw = volume_BK1hw.sum(1, keepdim=True) / count_B1[:, :, None, None, None]
        volume_BK1hw = volume_BK1hw - shared_B11hw
        return Alignment(volume_BK1hw, image, text, selection)
