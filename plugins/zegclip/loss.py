"""Loss of ZegCLIP: focal loss of all masks and dice loss of the present ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss import distributed
from ovss.interfaces import Criterion
from ovss.losses.mask_losses import ALPHA, GAMMA
from ovss.ops import resize
from ovss.registry import LOSSES
from ovss.structures import IGNORE, Masks, Selection
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import seen_mask

__all__ = ["FocalDice"]


@LOSSES.register_module(name="focal_dice")
class FocalDice(Criterion):
    """Focal loss of the masks of all kept categories, and dice loss of those in the image.

    Both are divided by the number of (image, category) pairs that are present in the batch, a mean
    over the ranks. Pixels without label are negatives of every category.

    With `seen`, the method trains itself on categories without labels (the transductive setting).
    Pixels of categories that are not in `seen` lose their label and get one from the model's own
    present output: the best category that is not in `seen`.

    Args:
        focal_weight: weight of the focal loss.
        dice_weight: weight of the dice loss.
        seen: categories with labels in the transductive setting, as a registered vocabulary, a text
            file or class names. A category counts as seen if it shares a synonym with one of them.
            None for ordinary training.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(
        self,
        focal_weight: float = 100.0,
        dice_weight: float = 1.0,
        seen: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if min(focal_weight, dice_weight) < 0:
            raise ValueError(
                f"focal_dice expects weights of at least 0, got {focal_weight} and {dice_weight}."
            )
        self.focal_weight, self.dice_weight = focal_weight, dice_weight
        self.seen = None if seen is None else load_names(seen)

    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_mask`` and ``loss_dice``.

        Raises:
            ValueError: `seen` and masks without the names of their categories.
        """
        selection = masks.selection
        size = (labels_BHW.shape[1], labels_BHW.shape[2])
        logits_BKM = resize(masks.logits_BKHW.float(), size).flatten(2)
        slot_BM = selection.localize(labels_BHW).flatten(1)
        if self.seen is not None:
            has_label_BK = selection.gather(self._labelled(masks).to(labels_BHW.device))
            slot_BM = _own_labels(logits_BKM, slot_BM, has_label_BK, selection)
        labelled_BM = slot_BM != IGNORE
        slot_B1M = slot_BM.clamp(min=0)[:, None]
        count_BK = _sum_by_slot(labelled_BM.to(logits_BKM.dtype), slot_B1M, logits_BKM)
        present_BK = (count_BK > 0).to(logits_BKM.dtype)
        number = distributed.all_mean(present_BK.sum()).float().clamp(min=1)
        focal_BK = _focal(logits_BKM, slot_B1M, labelled_BM) * selection.valid_BK
        dice_BK = _dice(logits_BKM, slot_B1M, labelled_BM, count_BK) * present_BK
        return {
            "loss_mask": self.focal_weight * focal_BK.sum() / number,
            "loss_dice": self.dice_weight * dice_BK.sum() / number,
        }

    def _labelled(self, masks: Masks) -> Tensor:
        """True for categories with labels, (T,)."""
        if masks.vocabulary is None or self.seen is None:
            raise ValueError(
                "focal_dice(seen=...) expects Masks.vocabulary, which the segmentor sets in "
                "training. Compute the loss through the segmentor."
            )
        return torch.from_numpy(seen_mask(masks.vocabulary.names, self.seen))


def _own_labels(
    logits_BKM: Tensor, slot_BM: Tensor, has_label_BK: Tensor, selection: Selection
) -> Tensor:
    """Labels in which pixels of unlabelled categories have the best of these categories."""
    open_BK = ~has_label_BK & selection.valid_BK
    best_BM = logits_BKM.detach().masked_fill(~open_BK[:, :, None], -torch.inf).argmax(1)
    is_open_BM = torch.gather(open_BK, 1, slot_BM.clamp(min=0)) & (slot_BM != IGNORE)
    return torch.where(is_open_BM, best_BM, slot_BM)


def _focal(logits_BKM: Tensor, slot_B1M: Tensor, labelled_BM: Tensor) -> Tensor:
    """Focal loss of each mask, a mean over its pixels, (B, K).

    Every pixel counts as a negative first; those with a label are corrected at their category.
    """
    at_label_BM = torch.gather(logits_BKM, 1, slot_B1M)[:, 0]
    correction_BM = _positive(at_label_BM) - _negative(at_label_BM)
    correction_BK = _sum_by_slot(correction_BM * labelled_BM, slot_B1M, logits_BKM)
    return (_negative(logits_BKM).sum(2) + correction_BK) / logits_BKM.shape[2]


def _dice(logits_BKM: Tensor, slot_B1M: Tensor, labelled_BM: Tensor, count_BK: Tensor) -> Tensor:
    """Dice loss of each mask, with 1 added to both areas, (B, K)."""
    prob_BKM = logits_BKM.sigmoid()
    inside_BM = torch.gather(prob_BKM, 1, slot_B1M)[:, 0] * labelled_BM
    overlap_BK = _sum_by_slot(inside_BM, slot_B1M, logits_BKM)
    return 1 - (2 * overlap_BK + 1) / (prob_BKM.sum(2) + count_BK + 1)


def _sum_by_slot(value_BM: Tensor, slot_B1M: Tensor, like_BKM: Tensor) -> Tensor:
    """Sum of the values of the pixels of each category, (B, K)."""
    zero_BK = value_BM.new_zeros(like_BKM.shape[:2])
    return zero_BK.scatter_add(1, slot_B1M[:, 0], value_BM)


def _positive(logits: Tensor) -> Tensor:
    """Focal loss of pixels that belong to the category."""
    return ALPHA * (1 - logits.sigmoid()) ** GAMMA * F.softplus(-logits)


def _negative(logits: Tensor) -> Tensor:
    """Focal loss of pixels that do not."""
    return (1 - ALPHA) * logits.sigmoid() ** GAMMA * F.softplus(logits)
