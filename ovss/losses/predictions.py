"""Predictions that a set-based loss supervises: those of the last layer and of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.ops import at_least_single
from ovss.structures import RegionAlignment, RegionMasks, Selection

__all__ = ["LayerPrediction", "layer_predictions"]


@dataclass(frozen=True)
class LayerPrediction:
    """Prediction of one layer, in at least single precision.

    Args:
        logits_BRQ: class logits of the K slots and, last, of "no object"; minus infinity in padding
            slots.
        further: the same of further sources that train.
        mask_BQhw: mask logits.
        valid_BQ: False for proposals that do not take part.
    """

    logits_BRQ: Tensor
    further: tuple[Tensor, ...]
    mask_BQhw: Tensor
    valid_BQ: Tensor


def layer_predictions(masks: RegionMasks, aligned: RegionAlignment) -> dict[str, LayerPrediction]:
    """Predictions by suffix of their losses: the last layer, then earlier ones in their order.

    Args:
        masks: decoder output.
        aligned: its alignment.
    """
    proposals = aligned.features.proposals
    assert proposals is not None
    selection = masks.selection
    layers = {"": _prediction(aligned, masks.mask_BQhw, proposals.valid_BQ, selection)}
    for i, (before, earlier) in enumerate(zip(aligned.earlier, proposals.earlier, strict=True)):
        layers[f"_{i}"] = _prediction(before, earlier.mask_BQhw, earlier.valid_BQ, selection)
    return layers


def _prediction(
    aligned: RegionAlignment, mask_BQhw: Tensor, valid_BQ: Tensor, selection: Selection
) -> LayerPrediction:
    assert aligned.void_BQ is not None
    padding_BR1 = F.pad(~selection.valid_BK, (0, 1))[:, :, None]
    logits_BRQ = torch.cat([aligned.logits_BKQ, aligned.void_BQ[:, None]], dim=1)
    logits, *further = (
        at_least_single(each).masked_fill(padding_BR1, -torch.inf)
        for each in (logits_BRQ, *aligned.further)
    )
    return LayerPrediction(logits, tuple(further), at_least_single(mask_BQhw), valid_BQ)
