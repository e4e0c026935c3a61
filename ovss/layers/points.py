"""Points of masks: losses on a sample of points cost less memory than losses on all pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["sample_points", "uncertain_points"]


def sample_points(maps_NHW: Tensor, point_NP2: Tensor) -> Tensor:
    """Values of maps at points, (N, P): bilinear, with zeros around the map.

    Args:
        maps_NHW: one map for each row of points.
        point_NP2: (x, y) of each point in 0..1, from the left and upper border of the map; a single
            row of points serves all maps.

    >>> sample_points(torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.5, 0.5]]]))
    tensor([[2.]])
    """
    grid_NP12 = (2 * point_NP2[:, :, None] - 1).to(maps_NHW)
    if point_NP2.shape[0] == 1:  # maps as channels, so that weights are computed once
        return F.grid_sample(maps_NHW[None], grid_NP12, align_corners=False)[0, :, :, 0]
    return F.grid_sample(maps_NHW[:, None], grid_NP12, align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def uncertain_points(
    logits_NHW: Tensor, count: int, oversample: float, importance: float
) -> Tensor:
    """Random points of each mask, (N, count, 2), most of them where the mask is uncertain.

    Of ``oversample * count`` candidates, the ``importance * count`` with the smallest absolute
    logits are kept; the others are new random points (PointRend, CVPR 2020, section 3.1).

    Args:
        logits_NHW: mask logits.
        count: number of points of each mask.
        oversample: candidates for each point, at least 1.
        importance: share of points that are chosen by uncertainty, in 0..1.
    """
    batch, chosen = logits_NHW.shape[0], int(importance * count)
    candidate_NM2 = torch.rand(batch, int(oversample * count), 2, device=logits_NHW.device)
    doubt_NM = -sample_points(logits_NHW, candidate_NM2).abs()
    index_NR = doubt_NM.topk(chosen, dim=1, sorted=False).indices
    kept_NR2 = candidate_NM2.gather(1, index_NR[:, :, None].expand(-1, -1, 2))
    fresh_NF2 = torch.rand(batch, count - chosen, 2, device=logits_NHW.device)
    return torch.cat([kept_NR2, fresh_NF2], dim=1)
