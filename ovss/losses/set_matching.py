"""Set-based loss of methods that compare regions with the categories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss import distributed
from ovss.interfaces import Criterion
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.points import sample_points, uncertain_points
from ovss.ops import at_least_single, resize, without_autocast
from ovss.registry import LOSSES
from ovss.structures import RegionAlignment, RegionMasks

from .mask_losses import bce_cost, bce_loss, dice_cost, dice_loss, focal_cost, focal_loss
from .matching import Pairs, TargetRegions, find_targets, match
from .predictions import LayerPrediction, layer_predictions
from .similarity import similarity_loss

LARGEST, LARGEST_OVERSAMPLE = 1e6, 1000
"""Largest weight and largest number of candidates for a point; infinity would give NaN."""

MASK_LOSSES = {"bce": (bce_cost, bce_loss), "focal": (focal_cost, focal_loss)}


@LOSSES.register_module(name="set_matching")
class SetMatching(Criterion):
    """Loss of a set of regions: each region of the ground truth is matched with one proposal.

    The ground truth has one region for each category in the label map. Proposals are matched with
    them at the least total cost, separately in every layer and image. A matched proposal should
    have the mask and the category of its region, every other one the class "no object". Pixels
    without label count as negatives of every mask. If an image has more categories than proposals,
    the worst fitting categories stay unmatched.

    With `points`, masks are compared at random points (Mask2Former, CVPR 2022, section 3.3);
    without, at all pixels (MaskFormer, NeurIPS 2021).

    Args:
        class_weight, mask_weight, dice_weight: weights of the three losses.
        class_cost, mask_cost, dice_cost: weights of the costs of a match; None: those of the
            losses.
        no_object: weight of the class "no object" in the cross-entropy.
        mask_loss: ``bce`` or ``focal``.
        points: number of points; None compares all pixels, in the matching on the grid of the
            predicted masks.
        oversample: candidates for each point.
        importance: share of the points that lie where the prediction is uncertain.
        similarity_weight: weight of `similarity.similarity_loss` between the first embeddings of
            the matched proposals and the texts, in the last layer only; 0 for none (EBSeg).

    Raises:
        ValueError: an argument out of range.
    """

    reads = RegionMasks

    def __init__(
        self,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        class_cost: float | None = None,
        mask_cost: float | None = None,
        dice_cost: float | None = None,
        no_object: float = 0.1,
        mask_loss: str = "bce",
        points: int | None = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        similarity_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if mask_loss not in MASK_LOSSES:
            raise ValueError(
                f"set_matching expects mask_loss of {', '.join(MASK_LOSSES)}, got "
                f"{excerpt(mask_loss)}."
            )
        if points is not None:
            check_range("set_matching", 1, points=points)
        self.weights = {"class": class_weight, "mask": mask_weight, "dice": dice_weight}
        costs = {"class": class_cost, "mask": mask_cost, "dice": dice_cost}
        self.costs = {k: self.weights[k] if cost is None else cost for k, cost in costs.items()}
        amounts = {"no_object": no_object, "similarity_weight": similarity_weight}
        amounts |= {f"{name}_weight": value for name, value in self.weights.items()}
        amounts |= {f"{name}_cost": value for name, value in self.costs.items()}
        check_range("set_matching", 0, LARGEST, **amounts)
        check_range("set_matching", 1, LARGEST_OVERSAMPLE, oversample=oversample)
        check_range("set_matching", 0, 1, importance=importance)
        self.no_object, self.points = no_object, points
        self.similarity_weight = similarity_weight
        self.oversample, self.importance = oversample, importance
        self.mask_cost, self.mask_loss = MASK_LOSSES[mask_loss]

    def forward(self, masks: RegionMasks, labels_BHW: Tensor) -> dict[str, Tensor]:
        """Computes ``loss_class``, ``loss_mask`` and ``loss_dice``, and ``..._0`` for earlier ones.

        Raises:
            ValueError: masks of an evaluation, which lack what the losses read.
            FloatingPointError: a cost that is NaN or infinite.
        """
        if masks.aligned is None:
            raise ValueError(
                "set_matching expects RegionMasks.aligned, which decoders set in training. Call "
                "train() on the model."
            )
        layers = layer_predictions(masks, masks.aligned)
        targets = find_targets(labels_BHW, masks.selection, layers[""].mask_BQhw.dtype)
        # mean over the ranks of the number of regions (Mask2Former's normaliser)
        number = distributed.all_mean(labels_BHW.new_tensor(sum(targets.counts)))
        number = number.float().clamp(min=1)
        found: dict[str, Tensor] = {}
        with without_autocast(labels_BHW.device):
            for suffix, layer in layers.items():
                pairs = self._match(layer, targets)
                losses = self._losses(layer, targets, pairs, number)
                found |= {f"{name}{suffix}": value for name, value in losses.items()}
                if self.similarity_weight and not suffix:
                    loss = _similarity(masks.aligned, targets, pairs)
                    found["loss_similarity"] = self.similarity_weight * loss
        return found

    def _losses(
        self, layer: LayerPrediction, targets: TargetRegions, pairs: Pairs, number: Tensor
    ) -> dict[str, Tensor]:
        """Weighted losses of one layer."""
        names = {f"loss_class_source{i}": logits for i, logits in enumerate(layer.further, 1)}
        classes = {"loss_class": layer.logits_BRQ, **names}
        losses = {
            name: self.weights["class"] * self._class_loss(logits, layer.valid_BQ, targets, pairs)
            for name, logits in classes.items()
        }
        mask, dice = self._mask_losses(layer, targets, pairs, number)
        losses["loss_mask"] = self.weights["mask"] * mask
        losses["loss_dice"] = self.weights["dice"] * dice
        return losses

    @torch.no_grad()
    def _match(self, layer: LayerPrediction, targets: TargetRegions) -> Pairs:
        """Matched proposals and regions."""
        regions = zip(targets.slot_R.split(targets.counts), targets.mask_RHW.split(targets.counts))
        images = zip(layer.logits_BRQ, layer.mask_BQhw, regions, strict=True)
        return match(
            [self.cost(logits, masks, *own) for logits, masks, own in images], layer.valid_BQ
        )

    def cost(self, logits_RQ: Tensor, mask_Qhw: Tensor, slot_G: Tensor, mask_GHW: Tensor) -> Tensor:
        """Cost (Q, G) of matching each proposal with each region of an image.

        Args:
            logits_RQ: class logits of the K slots and, last, of "no object".
            mask_Qhw: mask logits.
            slot_G: slot of each region's category.
            mask_GHW: binary masks of the regions.
        """
        share_QR = logits_RQ.softmax(0).T
        if self.points is None:
            target_GM = F.interpolate(mask_GHW[:, None], mask_Qhw.shape[1:]).flatten(1)
            value_QM = mask_Qhw.flatten(1)
        else:
            point_1P2 = torch.rand(1, self.points, 2, device=mask_Qhw.device)
            value_QM = sample_points(mask_Qhw, point_1P2)
            target_GM = sample_points(mask_GHW, point_1P2)
        return (
            self.costs["mask"] * self.mask_cost(value_QM, target_GM)
            - self.costs["class"] * share_QR[:, slot_G]
            + self.costs["dice"] * dice_cost(value_QM, target_GM)
        )

    def _class_loss(
        self, logits_BRQ: Tensor, valid_BQ: Tensor, targets: TargetRegions, pairs: Pairs
    ) -> Tensor:
        """Cross-entropy over the kept categories and "no object", a mean by weight."""
        void = logits_BRQ.shape[1] - 1
        wanted_BQ = torch.full_like(valid_BQ, void, dtype=torch.long)
        wanted_BQ[pairs.image_N, pairs.query_N] = targets.slot_R[pairs.region_N]
        # a head without a class "no object" leaves out the proposals without a region
        counts_BQ = valid_BQ & ((wanted_BQ != void) | (logits_BRQ[:, void] > -torch.inf))
        weight_BQ = counts_BQ.to(logits_BRQ.dtype)
        weight_BQ = torch.where(wanted_BQ == void, self.no_object * weight_BQ, weight_BQ)
        logits_BRQ = logits_BRQ.masked_fill(~counts_BQ[:, None], 0.0)
        loss_BQ = F.cross_entropy(logits_BRQ, wanted_BQ, reduction="none")
        return (loss_BQ * weight_BQ).sum() / weight_BQ.sum().clamp(min=1e-8)

    def _mask_losses(
        self, layer: LayerPrediction, targets: TargetRegions, pairs: Pairs, number: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice loss of all pairs, divided by the number of regions."""
        if not pairs.query_N.shape[0]:  # zero, but part of the graph, as other ranks expect
            zero = layer.mask_BQhw.masked_fill(~layer.valid_BQ[:, :, None, None], 0).sum() * 0
            return zero, zero
        logits_Nhw = layer.mask_BQhw[pairs.image_N, pairs.query_N]
        if self.points is None:
            target_NHW = targets.mask_RHW[pairs.region_N]
            size = (target_NHW.shape[1], target_NHW.shape[2])
            logits_NM = resize(logits_Nhw[:, None], size).flatten(1)
            target_NM = target_NHW.flatten(1)
        else:
            point_NP2 = uncertain_points(logits_Nhw, self.points, self.oversample, self.importance)
            logits_NM = sample_points(logits_Nhw, point_NP2)
            target_NM = _target_values(targets.mask_RHW, pairs.region_N, point_NP2)
        mask = self.mask_loss(logits_NM, target_NM).sum() / number
        return mask, dice_loss(logits_NM, target_NM).sum() / number


def _target_values(mask_RHW: Tensor, region_N: Tensor, point_NP2: Tensor) -> Tensor:
    """Values (N, P) of the matched regions at the points of their pairs."""
    if region_N.shape[0] < mask_RHW.shape[0]:
        return sample_points(mask_RHW[region_N], point_NP2)
    # every region has a pair: the points are put in order, because the masks are larger
    return sample_points(mask_RHW, point_NP2[region_N.argsort()])[region_N]


def _similarity(aligned: RegionAlignment, targets: TargetRegions, pairs: Pairs) -> Tensor:
    """Similarity loss of the proposals of the last layer."""
    proposals = aligned.features.proposals
    assert proposals is not None
    category_N = aligned.selection.index_BK[pairs.image_N, targets.slot_R[pairs.region_N]]
    matched = zip(pairs.query_N.split(pairs.counts), category_N.split(pairs.counts))
    unit_TC = F.normalize(aligned.text.mean_TC, dim=1)
    return similarity_loss(at_least_single(proposals.embed_BQSC[:, :, 0]), unit_TC, list(matched))
