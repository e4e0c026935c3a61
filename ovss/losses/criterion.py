"""Masks and labels to losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss import distributed
from ovss.ops import resize
from ovss.registry import check_arguments
from ovss.structures import IGNORE, Masks, Selection


def bce(
    masks: Masks, labels_BHW: Tensor, ignore: str = "negative", average: str = "batch"
) -> dict[str, Tensor]:
    """Binary cross-entropy of every kept category at every pixel, mean over all of them.

    Logits are enlarged to the labels' size. As -log(1 - p) summed over all elements minus the logit
    at each labelled one, so that no one-hot target is made.

    Args:
        masks: the decoder's output; each of `masks.aux` adds a loss of its own.
        labels_BHW: categories in T, or IGNORE.
        ignore: pixels without a label count as ``"negative"`` for every category (CAT-Seg, SED)
            or are left out (``"exclude"``).
        average: over the ``"batch"`` at once, so that an image counts by the categories it keeps,
            or within each ``"image"`` first, so that all images count the same. The batch is that
            of all processes: each divides by the mean of their counts.

    Returns:
        ``loss_mask``, and ``loss_aux0`` ... for auxiliary outputs: scalars.
    """
    if ignore not in ("negative", "exclude"):
        raise ValueError(f"ignore must be 'negative' or 'exclude', got {ignore!r}")
    if average not in ("batch", "image"):
        raise ValueError(f"average must be 'batch' or 'image', got {average!r}")
    slot_BHW = masks.selection.localize(labels_BHW)
    counted_BHW = torch.ones_like(labels_BHW, dtype=torch.bool)
    if ignore == "exclude":
        counted_BHW = labels_BHW != IGNORE
    outputs = {"loss_mask": masks.logits_BKHW}
    outputs.update({f"loss_aux{i}": aux_BKHW for i, aux_BKHW in enumerate(masks.aux)})
    return {
        name: _bce_mean(logits_BKHW, masks.selection, slot_BHW, counted_BHW, average)
        for name, logits_BKHW in outputs.items()
    }


def _bce_mean(
    logits_BKHW: Tensor,
    selection: Selection,
    slot_BHW: Tensor,
    counted_BHW: Tensor,
    average: str,
) -> Tensor:
    logits_BKHW = resize(logits_BKHW.float(), (slot_BHW.shape[1], slot_BHW.shape[2]))
    live_BKHW = selection.valid_BK[:, :, None, None] & counted_BHW[:, None]
    everything_live = selection.full and bool(counted_BHW.all())
    negative_BKHW = F.softplus(logits_BKHW)
    if not everything_live:
        negative_BKHW = negative_BKHW.masked_fill(~live_BKHW, 0.0)
    at_label_BHW = torch.gather(logits_BKHW, 1, slot_BHW.clamp(min=0)[:, None]).squeeze(1)
    at_label_BHW = at_label_BHW.masked_fill(slot_BHW == IGNORE, 0.0)
    if average == "image":
        sum_B = negative_BKHW.sum((1, 2, 3)) - at_label_BHW.sum((1, 2))
        return (sum_B / live_BKHW.sum((1, 2, 3)).clamp(min=1)).mean()
    positive = at_label_BHW.sum()
    return (negative_BKHW.sum() - positive) / _count(live_BKHW)


def cross_entropy(masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
    """Softmax cross-entropy over the kept categories, mean over labelled pixels.

    Args and returns as `bce`; pixels whose category was not kept are left out.
    """
    slot_BHW = masks.selection.localize(labels_BHW)
    padding_BK11 = ~masks.selection.valid_BK[:, :, None, None]
    losses = {}
    for i, logits_BKHW in enumerate((masks.logits_BKHW, *masks.aux)):
        logits_BKHW = resize(logits_BKHW.float(), (slot_BHW.shape[1], slot_BHW.shape[2]))
        logits_BKHW = logits_BKHW.masked_fill(padding_BK11, -torch.inf)
        total = F.cross_entropy(logits_BKHW, slot_BHW, ignore_index=IGNORE, reduction="sum")
        name = "loss_mask" if i == 0 else f"loss_aux{i - 1}"
        losses[name] = total / _count(slot_BHW != IGNORE)
    return losses


def _count(counted: Tensor) -> Tensor:
    """How many are counted, in each process on average: then the mean of the processes' losses is
    the loss of the whole batch."""
    return distributed.all_mean(counted.sum()).clamp(min=1 / distributed.world_size()).float()


CRITERIA = {"bce": bce, "cross_entropy": cross_entropy}


class Criterion:
    """A loss by name, its options bound and checked when the model is built.

    >>> Criterion(type="bce", ignore="exclude").type
    'bce'
    """

    def __init__(self, type: str, **options: str) -> None:
        if type not in CRITERIA:
            raise KeyError(f"no criterion is called {type!r}; known: {sorted(CRITERIA)}")
        check_arguments(CRITERIA[type], {"masks": None, "labels_BHW": None, **options})
        self.type = type
        self.options = options

    def __call__(self, masks: Masks, labels_BHW: Tensor) -> dict[str, Tensor]:
        return CRITERIA[self.type](masks, labels_BHW, **self.options)
