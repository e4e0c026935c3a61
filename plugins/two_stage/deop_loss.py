"""Loss of DeOP: merged maps of the categories against the label map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Criterion
from ovss.ops import crop_padding, resize
from ovss.registry import LOSSES
from ovss.structures import IGNORE, RegionMasks

SHARPNESS = 3.0
"""Merged scores pass through ``sigmoid(3 x - 3)``."""
LOWEST = 1e-4


@LOSSES.register_module(name="merged_maps")
class MergedMaps(Criterion):
    """Focal and dice loss of the scores that the proposals give together.

    The masks are fixed, so that the class logits alone train. Pixels without label belong to "no
    object".

    Args:
        focal_weight: weight of the focal loss, over the categories and "no object".
        dice_weight: weight of the dice loss, over the categories in the label map.
        alpha: weight of positive pixels in the focal loss; 1 - alpha, of negative ones.
        gamma: exponent of the focal loss.
    """

    reads = RegionMasks

    def __init__(
        self,
        focal_weight: float = 2.0,
        dice_weight: float = 0.8,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        self.focal_weight, self.dice_weight = focal_weight, dice_weight
        self.alpha, self.gamma = alpha, gamma

    def forward(self, masks: RegionMasks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_focal`` and ``loss_dice``.

        Raises:
            ValueError: masks of an evaluation, or of a head without a class "no object".
        """
        aligned = masks.aligned
        if aligned is None or aligned.void_BQ is None:
            raise ValueError(
                "merged_maps expects RegionMasks.aligned with void logits. Call train() on the "
                "model."
            )
        void = masks.selection.index_BK.shape[1]
        label_BHW = masks.selection.localize(labels_BHW)
        label_BHW = label_BHW.masked_fill(label_BHW == IGNORE, void)
        wanted_BRHW = F.one_hot(label_BHW, void + 1).movedim(3, 1).float()
        with torch.autocast(labels_BHW.device.type, enabled=False):
            prob_BQHW = _resized(masks, (labels_BHW.shape[1], labels_BHW.shape[2])).sigmoid()
            padding_BK1 = ~masks.selection.valid_BK[:, :, None]
            logits_BKQ = aligned.logits_BKQ.float().masked_fill(padding_BK1, -torch.inf)
            logits_BRQ = torch.cat([logits_BKQ, aligned.void_BQ.float()[:, None]], dim=1)
            merged_BRHW = torch.einsum("brq,bqhw->brhw", logits_BRQ.softmax(1), prob_BQHW)
            score_BRHW = (SHARPNESS * merged_BRHW - SHARPNESS).sigmoid()
            focal = self._focal(score_BRHW.clamp(LOWEST, 1 - LOWEST), wanted_BRHW)
            dice = _dice(score_BRHW[:, :-1], wanted_BRHW[:, :-1])
        return {"loss_focal": self.focal_weight * focal, "loss_dice": self.dice_weight * dice}

    def _focal(self, score_BRHW: Tensor, wanted_BRHW: Tensor) -> Tensor:
        right_BRHW = torch.where(wanted_BRHW > 0, score_BRHW, 1 - score_BRHW)
        alpha_BRHW = torch.where(wanted_BRHW > 0, self.alpha, 1 - self.alpha)
        return -(alpha_BRHW * (1 - right_BRHW) ** self.gamma * right_BRHW.log()).mean()


def _resized(masks: RegionMasks, size: tuple[int, int]) -> Tensor:
    """Mask logits of the image at the size of the labels."""
    padded = masks.padding.padded if masks.padding else size
    return resize(crop_padding(resize(masks.mask_BQhw.float(), padded), masks.padding), size)


def _dice(score_BKHW: Tensor, wanted_BKHW: Tensor) -> Tensor:
    """Mean dice loss over the categories that occur in each label map."""
    score_BKN, wanted_BKN = score_BKHW.flatten(2), wanted_BKHW.flatten(2)
    both_BK, own_BK = (score_BKN * wanted_BKN).sum(2), wanted_BKN.sum(2)
    loss_BK = 1 - (2 * both_BK + 1) / (score_BKN.sum(2) + own_BK + 1)
    occurs_BK = own_BK > 0
    return (loss_BK * occurs_BK).sum() / occurs_BK.sum().clamp(min=1)
