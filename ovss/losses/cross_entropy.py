from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Criterion
from ovss.ops import resize
from ovss.registry import LOSSES
from ovss.structures import IGNORE, Masks

from .counting import mean_count


@LOSSES.register_module(name="cross_entropy")
class CrossEntropy(Criterion):
    """Softmax cross-entropy over the kept categories, averaged over labelled pixels.

    Pixels whose category was not kept are left out. Logits are resized to the labels.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_mask``, and ``loss_aux0``, ``loss_aux1`` ... for auxiliary outputs."""
        slot_BHW = masks.selection.localize(labels_BHW)
        padding_BK11 = ~masks.selection.valid_BK[:, :, None, None]
        losses = {}
        for i, logits_BKHW in enumerate((masks.logits_BKHW, *masks.aux)):
            logits_BKHW = resize(logits_BKHW.float(), (slot_BHW.shape[1], slot_BHW.shape[2]))
            logits_BKHW = logits_BKHW.masked_fill(padding_BK11, -torch.inf)
            total = F.cross_entropy(logits_BKHW, slot_BHW, ignore_index=IGNORE, reduction="sum")
            name = "loss_mask" if i == 0 else f"loss_aux{i - 1}"
            losses[name] = total / mean_count(slot_BHW != IGNORE)
        return losses
