"""Contrastive loss on patches, from the categories that an image contains."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Criterion
from ovss.io.option_values import check_range
from ovss.losses.counting import mean_count
from ovss.registry import LOSSES
from ovss.structures import IGNORE, Masks

__all__ = ["PatchContrastive", "compatibility", "contrast"]

_NEVER = -1e4
"""Logit of what does not compete; finite, so that its gradient is zero and not NaN."""


@LOSSES.register_module(name="patch_contrastive")
class PatchContrastive(Criterion):
    """Symmetric contrastive loss between images and texts, whose similarity is made from patches.

    The similarity of an image and a text is that of PACL: patches vote with weights that are a
    softmax of their own cosines with the text. Texts are the categories of the vocabulary and not
    captions: those that a label map contains belong to the image, no matter where. No pixel's
    label is used.

    Args:
        scale: factor from cosines to the logits of the decoder, as in `UpsampleDecoder.scale`.
        sharpness: factor of the cosines in the softmax over patches; 1 as in the paper.
        temperature: divisor of the similarities in the contrastive loss.
    """

    def __init__(
        self, scale: float = 100.0, sharpness: float = 1.0, temperature: float = 0.07
    ) -> None:
        super().__init__()
        check_range("patch_contrastive", 1e-6, scale=scale, temperature=temperature)
        check_range("patch_contrastive", 0, sharpness=sharpness)
        self.scale, self.sharpness, self.temperature = scale, sharpness, temperature

    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_image``, images against texts, and ``loss_text``, the reverse."""
        cosine_BKHW = masks.logits_BKHW.float() / self.scale
        similarity_BT = masks.selection.scatter(compatibility(cosine_BKHW, self.sharpness))
        kept_BT = masks.selection.mask()
        present_BT = kept_BT & _present(labels_BHW, masks.selection.num_categories)
        logits_BT = similarity_BT / self.temperature
        return {
            "loss_image": contrast(logits_BT, present_BT, kept_BT) / 2,
            "loss_text": contrast(logits_BT.T, present_BT.T, kept_BT.T) / 2,
        }


def compatibility(cosine_BKHW: Tensor, sharpness: float) -> Tensor:
    """Similarity (B, K) of images and texts, a mean of the patches' cosines weighted by a softmax.

    >>> compatibility(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), 0.0).item()
    0.5
    """
    cosine_BKN = cosine_BKHW.flatten(2)
    return ((sharpness * cosine_BKN).softmax(2) * cosine_BKN).sum(2)


def contrast(logits_RC: Tensor, positive_RC: Tensor, counted_RC: Tensor) -> Tensor:
    """Contrastive loss of each positive pair against the negatives of its row.

    Other positives of a row do not compete.

    Args:
        logits_RC: similarities, divided by the temperature.
        positive_RC: True for pairs that belong together.
        counted_RC: False for pairs that take no part.
    """
    negative_RC = counted_RC & ~positive_RC
    others_R1 = logits_RC.masked_fill(~negative_RC, _NEVER).logsumexp(1, keepdim=True)
    loss_RC = F.softplus(others_R1 - logits_RC).masked_fill(~positive_RC, 0.0)
    return loss_RC.sum() / mean_count(positive_RC)


def _present(labels_BHW: Tensor, categories: int) -> Tensor:
    """Boolean (B, T): categories that a label map contains."""
    slots_BM = torch.where(labels_BHW == IGNORE, categories, labels_BHW).flatten(1).long()
    present_BU = torch.zeros_like(slots_BM[:, :1], dtype=torch.bool).repeat(1, categories + 1)
    return present_BU.scatter_(1, slots_BM, True)[:, :-1]
