"""Feature surgery: what all words have in common is taken out of their cosines."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ovss.interfaces import AlignmentHead
from ovss.ops import cosine_volume
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


@HEADS.register_module()
class FeatureSurgeryHead(AlignmentHead):
    """CLIP Surgery's similarity (arXiv 2304.05653, section 3.3).

    Each word is weighted by how the whole picture likes it, relative to the mean word; the mean of
    the weighted features over the words, which is what they share, is taken away:

        p = softmax over words of  sharpness * cos(picture, word)
        volume = w cos(cell, word) - mean over words of (w cos(cell, word)),    w = p / mean(p)

    The paper writes it with the channels of cell times word; their sum is taken here before and not
    after the mean, which is the same and never holds (cells, words, channels). "Words" are those
    that the selection keeps. Templates are averaged, as the paper does. With one word nothing is
    left but zeros.

    Args:
        sharpness: 2 in the authors' code.
    """

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        self.cost_dim = 1
        self.sharpness = sharpness

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        embeds_TC = F.normalize(text.embeds_TPC.mean(1), dim=1)
        text_BK1C = selection.gather(embeds_TC[:, None])
        valid_BK = selection.valid_BK.to(embeds_TC.device)
        liked_BK = (text_BK1C[:, :, 0] @ F.normalize(image.pooled_BC, dim=1)[:, :, None])[..., 0]
        liked_BK = (self.sharpness * liked_BK).masked_fill(~valid_BK, -torch.inf)
        count_B1 = valid_BK.sum(1, keepdim=True)
        weight_BK111 = (liked_BK.softmax(1) * count_B1)[:, :, None, None, None]
        volume_BK1hw = weight_BK111 * cosine_volume(image.dense_BChw, text_BK1C)
        shared_B11hw = volume_BK1hw.sum(1, keepdim=True) / count_B1[:, :, None, None, None]
        volume_BK1hw = volume_BK1hw - shared_B11hw
        return Alignment(volume_BK1hw, image, text, selection)
