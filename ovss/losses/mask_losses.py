"""Losses of mask logits against binary masks: one value per pair, or the costs of all pairs.

Every function takes values of masks at the same M points or pixels. The losses compare row by row;
the costs compare each of Q predictions with each of G targets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bce_cost", "bce_loss", "dice_cost", "dice_loss", "focal_cost", "focal_loss"]

ALPHA, GAMMA = 0.25, 2.0
"""Weight of the positives, and exponent, of the focal loss (Lin et al., ICCV 2017)."""


def bce_loss(logits_NM: Tensor, target_NM: Tensor) -> Tensor:
    """Binary cross-entropy of each pair, averaged over the points, (N,)."""
    return F.binary_cross_entropy_with_logits(logits_NM, target_NM, reduction="none").mean(1)


def focal_loss(logits_NM: Tensor, target_NM: Tensor) -> Tensor:
    """Focal loss of each pair, averaged over the points, (N,)."""
    positive_NM, negative_NM = _focal_terms(logits_NM)
    return (positive_NM * target_NM + negative_NM * (1 - target_NM)).mean(1)


def dice_loss(logits_NM: Tensor, target_NM: Tensor) -> Tensor:
    """Dice loss of each pair with 1 added to both areas, (N,)."""
    prob_NM = logits_NM.sigmoid()
    overlap_N = (prob_NM * target_NM).sum(1)
    return 1 - (2 * overlap_N + 1) / (prob_NM.sum(1) + target_NM.sum(1) + 1)


def bce_cost(logits_QM: Tensor, target_GM: Tensor) -> Tensor:
    """Binary cross-entropy of every pair, (Q, G)."""
    # softplus(-x) t + softplus(x) (1 - t) = softplus(x) - x t
    negative_Q1 = F.softplus(logits_QM).sum(1, keepdim=True)
    return (negative_Q1 - logits_QM @ target_GM.T) / logits_QM.shape[1]


def focal_cost(logits_QM: Tensor, target_GM: Tensor) -> Tensor:
    """Focal loss of every pair, (Q, G)."""
    positive_QM, negative_QM = _focal_terms(logits_QM)
    summed_QG = positive_QM @ target_GM.T + negative_QM @ (1 - target_GM).T
    return summed_QG / logits_QM.shape[1]


def dice_cost(logits_QM: Tensor, target_GM: Tensor) -> Tensor:
    """Dice loss of every pair, (Q, G)."""
    prob_QM = logits_QM.sigmoid()
    total_QG = prob_QM.sum(1)[:, None] + target_GM.sum(1)
    return 1 - (2 * prob_QM @ target_GM.T + 1) / (total_QG + 1)


def _focal_terms(logits_NM: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss of each point if it is a positive, and if it is a negative."""
    prob_NM = torch.sigmoid(logits_NM)
    positive_NM = ALPHA * (1 - prob_NM) ** GAMMA * F.softplus(-logits_NM)
    negative_NM = (1 - ALPHA) * prob_NM**GAMMA * F.softplus(logits_NM)
    return positive_NM, negative_NM
