"""Regions of CorrCLIP: painting masks into one map, merging similar regions, and their scope."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.ops import crop_padding
from ovss.structures import Proposals

__all__ = [
    "compact",
    "merge_regions",
    "paint",
    "region_distances",
    "region_means",
    "scope_weights",
]

PAINTING = {
    "area": "by ascending area, so that larger regions lie over smaller ones",
    "order": "in the order of the proposals, so that later regions lie over earlier ones",
}
"""Orders in which masks are painted."""


def paint(proposals: Proposals, painting: str = "area") -> Tensor:
    """Region of each pixel, (B, h, w): 1, 2, ... in the order of painting; 0 without a region.

    Args:
        proposals: masks, whose pixels are those with a positive logit.
        painting: key of `PAINTING`.
    """
    inside_BQhw = crop_padding(proposals.mask_BQhw, proposals.padding) > 0
    inside_BQhw = inside_BQhw & proposals.valid_BQ[:, :, None, None]
    count = inside_BQhw.shape[1]
    if painting == "area":
        area_BQ = inside_BQhw.flatten(2).sum(2)
        order_BQ = area_BQ.argsort(dim=1, stable=True)
        index_BQhw = order_BQ[:, :, None, None].expand_as(inside_BQhw)
        inside_BQhw = inside_BQhw.gather(1, index_BQhw)
    # the last one that is painted is the first one in reverse order
    above_Bhw = inside_BQhw.flip(1).to(torch.uint8).argmax(1)
    return torch.where(inside_BQhw.any(1), count - above_Bhw, 0)


def compact(region_BN: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Regions numbered 0, 1, ... in ascending order of those that each image has, and their number.

    Args:
        region_BN: values 0..most.
        most: largest value.

    Returns:
        Numbers (B, N), and how many different values each image has (B,).
    """
    present_BR = torch.zeros(
        region_BN.shape[0], most + 1, dtype=torch.long, device=region_BN.device
    )
    present_BR = present_BR.scatter(1, region_BN, 1)
    rank_BR = present_BR.cumsum(1) - 1
    return rank_BR.gather(1, region_BN), present_BR.sum(1)


def region_distances(number_BN: Tensor, count_B: Tensor, unit_BND: Tensor, most: int) -> Tensor:
    """Distances (B, K, K) between the mean features of regions; infinite for those not compared.

    The distance is that of the cosine to the largest cosine, which is 1 up to rounding. Region 0,
    whose cells count as not segmented, is not compared.

    Args:
        number_BN: region of each cell, see `compact`.
        count_B: number of regions of each image.
        unit_BND: unit features of the cells.
        most: K, at least the largest number of regions of an image.
    """
    member_BKN = F.one_hot(number_BN, most).transpose(1, 2).to(unit_BND.dtype)
    mean_BKD = F.normalize(member_BKN @ unit_BND, dim=2)
    cosine_BKK = mean_BKD @ mean_BKD.transpose(1, 2)
    slot_K = torch.arange(most, device=number_BN.device)
    is_region_BK = (slot_K > 0) & (slot_K < count_B[:, None])
    compared_BKK = is_region_BK[:, :, None] & is_region_BK[:, None]
    cosine_BKK = cosine_BKK.masked_fill(~compared_BKK, -torch.inf)
    largest_B11 = cosine_BKK.amax((1, 2), keepdim=True).nan_to_num(neginf=0.0)
    return largest_B11 - cosine_BKK


def merge_regions(number_BN: Tensor, count_B: Tensor, distance_BKK: Tensor, eps: float) -> Tensor:
    """Region of each cell (B, N) after regions with similar features are merged.

    Regions are merged if a chain of distances of at most `eps` connects them, which is what DBSCAN
    does with ``min_samples=1``. An image with at most two regions, region 0 included, keeps them.
    """
    most = distance_BKK.shape[1]
    near_BKK = (distance_BKK <= eps) & (count_B > 2)[:, None, None]
    near_BKK = near_BKK | torch.eye(most, dtype=torch.bool, device=number_BN.device)
    reach_BKK = near_BKK.to(distance_BKK.dtype)
    for _ in range(max(1, most - 1).bit_length()):  # each product doubles the length of the chains
        reach_BKK = (reach_BKK @ reach_BKK).clamp(max=1)
    first_BK = (reach_BKK > 0).to(torch.uint8).argmax(2)
    return first_BK.gather(1, number_BN)


def scope_weights(unit_BND: Tensor, region_BN: Tensor, sharpness: float) -> Tensor:
    """Attention weights (B, N, N) of each cell to the cells in its scope.

    Cells of a region attend to that region. A pair with a cell that is not segmented, region 0, is
    allowed if its cosine exceeds the mean of all pairs.

    Args:
        unit_BND: unit features of the cells.
        region_BN: region of each cell.
        sharpness: factor of the cosines before the softmax.
    """
    cosine_BNN = unit_BND @ unit_BND.transpose(1, 2)
    mean_B11 = cosine_BNN.mean((1, 2), keepdim=True)
    has_BN = region_BN > 0
    both_BNN = has_BN[:, :, None] & has_BN[:, None]
    same_BNN = region_BN[:, :, None] == region_BN[:, None]
    allowed_BNN = torch.where(both_BNN, same_BNN, cosine_BNN > mean_B11)
    # a cell may always attend to itself, so that a constant image has weights as well
    allowed_BNN.diagonal(dim1=1, dim2=2).fill_(True)
    return (sharpness * cosine_BNN).masked_fill_(~allowed_BNN, -torch.inf).softmax(2)


def region_means(map_Chw: Tensor, region_YX: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Mean of a feature map over each region (K, C), and the number of pixels of each (K,).

    A pixel has the features of the cell that it lies in, so that regions smaller than a cell have a
    mean as well.

    Args:
        map_Chw: features.
        region_YX: region of each pixel, 0..most - 1, at any resolution.
        most: K.
    """
    size = (map_Chw.shape[1], map_Chw.shape[2])
    row_Y, column_X = (
        (torch.arange(side, device=region_YX.device) * cells).div(side, rounding_mode="floor")
        for side, cells in zip(region_YX.shape, size, strict=True)
    )
    cell_YX = row_Y[:, None] * size[1] + column_X
    count_KN = map_Chw.new_zeros(most * size[0] * size[1])
    place_M = (region_YX * (size[0] * size[1]) + cell_YX).flatten()
    count_KN.index_add_(0, place_M, torch.ones_like(place_M, dtype=count_KN.dtype))
    count_KN = count_KN.view(most, -1)
    count_K = count_KN.sum(1)
    return count_KN @ map_Chw.flatten(1).T / count_K.clamp(min=1)[:, None], count_K
