"""Grounding loss: regions against words of the images, and masks without categories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Criterion
from ovss.io.option_values import check_range
from ovss.losses.mask_losses import dice_cost
from ovss.registry import LOSSES
from ovss.structures import IGNORE, RegionMasks

__all__ = ["Grounding", "grounded"]


@LOSSES.register_module(name="grounding")
class Grounding(Criterion):
    """Loss in the manner of OpenSeg (ECCV 2022, section 3.2).

    A word fits an image by the cosines of its regions, weighted by their softmax. An image fits a
    set of words by the mean over the words. Images and sets of words of a batch are contrasted in
    both directions. A second term asks for each labelled region that some mask covers it; it does
    not read the region's category.

    OpenSeg takes the nouns and adjectives of captions. Here the words of an image are the
    categories that its label map contains, because the datasets have no captions.

    Args:
        scale: factor from cosines to the logits of the head, as in `RegionHead.scales`.
        temperature: divisor of the similarities in the contrastive loss.
        drop: probability with which a word is left out, drawn in each step for each image.
        mask_weight: weight of the second term.
    """

    reads = RegionMasks

    def __init__(
        self,
        scale: float = 100.0,
        temperature: float = 0.07,
        drop: float = 0.25,
        mask_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("grounding", 1e-6, scale=scale, temperature=temperature)
        check_range("grounding", 0, 1, drop=drop)
        check_range("grounding", 0, mask_weight=mask_weight)
        self.scale, self.temperature = scale, temperature
        self.drop, self.mask_weight = drop, mask_weight

    def forward(self, masks: RegionMasks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_image`` and ``loss_text``, the two directions, and ``loss_mask``.

        Raises:
            ValueError: masks without the alignment that they were decoded from.
        """
        if masks.aligned is None:
            raise ValueError("The grounding loss expects masks of a model in training mode.")
        selection = masks.aligned.selection
        cosine_BKQ = masks.aligned.logits_BKQ.float() / self.scale
        fit_BT = selection.scatter((cosine_BKQ.softmax(2) * cosine_BKQ).sum(2))
        words_BT = _present(labels_BHW, selection.num_categories) & selection.mask()
        score_BB = grounded(fit_BT, self._thinned(words_BT)) / self.temperature
        has_words_B = words_BT.any(1)
        return {
            "loss_image": _contrast(score_BB, has_words_B) / 2,
            "loss_text": _contrast(score_BB.T, has_words_B) / 2,
            "loss_mask": self.mask_weight * _uncovered(masks.mask_BQhw.float(), labels_BHW),
        }

    def _thinned(self, words_BT: Tensor) -> Tensor:
        """Leaves some words out, but never all of an image."""
        kept_BT = words_BT & (torch.rand_like(words_BT, dtype=torch.float32) >= self.drop)
        return torch.where(kept_BT.any(1, keepdim=True), kept_BT, words_BT)


def grounded(fit_BT: Tensor, words_BT: Tensor) -> Tensor:
    """Similarity (B, B) of each image, a row, with the words of each image, a column.

    >>> words = torch.tensor([[True, True], [False, True]])
    >>> grounded(torch.tensor([[1.0, 3.0]]), words)
    tensor([[2., 3.]])
    """
    weight_BT = words_BT.to(fit_BT) / words_BT.sum(1, keepdim=True).clamp(min=1)
    return fit_BT @ weight_BT.T


def _contrast(score_BB: Tensor, counted_B: Tensor) -> Tensor:
    """Mean cross-entropy of each row against its own column; images without words are left out."""
    score_BB = score_BB.masked_fill(~counted_B, -1e4)
    own_B = torch.arange(score_BB.shape[0], device=score_BB.device)
    loss_B = F.cross_entropy(score_BB, own_B, reduction="none").masked_fill(~counted_B, 0.0)
    return loss_B.sum() / counted_B.sum().clamp(min=1)


def _uncovered(mask_BQhw: Tensor, labels_BHW: Tensor) -> Tensor:
    """Mean over the labelled regions of the smallest Dice loss of any mask."""
    size = (mask_BQhw.shape[2], mask_BQhw.shape[3])
    small_Bhw = F.interpolate(labels_BHW[:, None].float(), size, mode="nearest")[:, 0].long()
    total, count = mask_BQhw.sum() * 0, 0
    for mask_Qhw, label_hw in zip(mask_BQhw, small_Bhw, strict=True):
        present_G = label_hw.unique()
        present_G = present_G[present_G != IGNORE]
        if not present_G.shape[0]:
            continue
        target_GM = (label_hw == present_G[:, None, None]).flatten(1).to(mask_Qhw)
        total = total + dice_cost(mask_Qhw.flatten(1), target_GM).amin(0).sum()
        count += present_G.shape[0]
    return total / max(count, 1)


def _present(labels_BHW: Tensor, categories: int) -> Tensor:
    """Boolean (B, T): categories that a label map contains."""
    slots_BM = torch.where(labels_BHW == IGNORE, categories, labels_BHW).flatten(1).long()
    present_BU = torch.zeros_like(slots_BM[:, :1], dtype=torch.bool).repeat(1, categories + 1)
    return present_BU.scatter_(1, slots_BM, True)[:, :-1]
