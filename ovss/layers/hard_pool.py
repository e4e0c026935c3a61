"""Means of feature maps over the cells of binary masks."""

from __future__ import annotations

from torch import Tensor

from ovss.ops import resize

__all__ = ["hard_pool"]


def hard_pool(map_BChw: Tensor, mask_BQhw: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a map over the cells where each mask logit is positive.

    Mask logits are resized to the map first. No gradient flows into them.

    Args:
        map_BChw: feature map.
        mask_BQhw: mask logits on any grid that covers the same area.

    Returns:
        Means (B, Q, C), 0 for empty masks; and a boolean (B, Q), False for empty masks.

    >>> import torch
    >>> mean, filled = hard_pool(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[-1.0, 1.0]]]]))
    >>> round(mean.item(), 4), filled.item()
    (5.0, True)
    """
    mask_BQhw = resize(mask_BQhw.detach(), (map_BChw.shape[2], map_BChw.shape[3]))
    inside_BQN = (mask_BQhw > 0).flatten(2).to(map_BChw.dtype)
    count_BQ1 = inside_BQN.sum(2, keepdim=True)
    sum_BQC = inside_BQN @ map_BChw.flatten(2).transpose(1, 2)
    return sum_BQC / (count_BQ1 + 1e-8), count_BQ1[..., 0] > 0
