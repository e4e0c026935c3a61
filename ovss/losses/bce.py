from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Criterion
from ovss.io.excerpts import excerpt
from ovss.ops import resize
from ovss.registry import LOSSES
from ovss.structures import IGNORE, Masks, Selection

from .counting import mean_count


@LOSSES.register_module(name="bce")
class BinaryCrossEntropy(Criterion):
    """Binary cross-entropy, averaged over all pixels and kept categories.

    Logits are resized to the labels. The loss is the sum of -log(1 - p) over all elements, minus
    the logit of the labelled category at each pixel, so a one-hot target is not needed.

    Args:
        ignore: treatment of pixels without label: ``"negative"`` counts them as negatives of every
            category (CAT-Seg, SED), ``"exclude"`` leaves them out.
        average: ``"batch"`` averages over all elements of the batch, so an image counts in
            proportion to the categories that it keeps. ``"image"`` averages within each image
            first, so all images count the same. The batch includes the images of all ranks.

    Raises:
        ValueError: an unknown value of `ignore` or `average`.
    """

    def __init__(self, ignore: str = "negative", average: str = "batch") -> None:
        super().__init__()
        if ignore not in ("negative", "exclude"):
            raise ValueError(f"ignore must be 'negative' or 'exclude', got {excerpt(ignore)}.")
        if average not in ("batch", "image"):
            raise ValueError(f"average must be 'batch' or 'image', got {excerpt(average)}.")
        self.ignore, self.average = ignore, average

    def forward(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_mask``, and ``loss_aux0``, ``loss_aux1`` ... for auxiliary outputs."""
        slot_BHW = masks.selection.localize(labels_BHW)
        counted_BHW = torch.ones_like(labels_BHW, dtype=torch.bool)
        if self.ignore == "exclude":
            counted_BHW = labels_BHW != IGNORE
        outputs = {"loss_mask": masks.logits_BKHW}
        outputs.update({f"loss_aux{i}": aux_BKHW for i, aux_BKHW in enumerate(masks.aux)})
        return {
            name: self._mean(logits_BKHW, masks.selection, slot_BHW, counted_BHW)
            for name, logits_BKHW in outputs.items()
        }

    def _mean(
        self, logits_BKHW: Tensor, selection: Selection, slot_BHW: Tensor, counted_BHW: Tensor
    ) -> Tensor:
        logits_BKHW = resize(logits_BKHW.float(), (slot_BHW.shape[1], slot_BHW.shape[2]))
        valid_BKHW = selection.valid_BK[:, :, None, None] & counted_BHW[:, None]
        all_valid = selection.full and bool(counted_BHW.all())
        negative_BKHW = F.softplus(logits_BKHW)
        if not all_valid:
            negative_BKHW = negative_BKHW.masked_fill(~valid_BKHW, 0.0)
        at_label_BHW = torch.gather(logits_BKHW, 1, slot_BHW.clamp(min=0)[:, None]).squeeze(1)
        at_label_BHW = at_label_BHW.masked_fill(slot_BHW == IGNORE, 0.0)
        if self.average == "image":
            sum_B = negative_BKHW.sum((1, 2, 3)) - at_label_BHW.sum((1, 2))
            return (sum_B / valid_BKHW.sum((1, 2, 3)).clamp(min=1)).mean()
        positive = at_label_BHW.sum()
        return (negative_BKHW.sum() - positive) / mean_count(valid_BKHW)
