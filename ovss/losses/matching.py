"""Matching of proposals with the regions of the ground truth, at the least total cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.selection import present_labels
from ovss.structures import Selection

__all__ = ["Pairs", "TargetRegions", "find_targets", "match"]


@dataclass(frozen=True)
class TargetRegions:
    """Regions of a batch in the ground truth, image after image.

    Args:
        slot_R: slot of each region's category.
        mask_RHW: binary masks of the regions, as floating-point numbers.
        counts: number of regions of each image.
    """

    slot_R: Tensor
    mask_RHW: Tensor
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Pairs:
    """Matched pairs of a batch: image after image, by ascending proposal in each.

    Args:
        image_N: image of each pair.
        query_N: proposal, an index into those of its image.
        region_N: region, an index into those of the whole batch.
        counts: number of pairs of each image.
    """

    image_N: Tensor
    query_N: Tensor
    region_N: Tensor
    counts: tuple[int, ...]


def find_targets(labels_BHW: Tensor, selection: Selection, dtype: torch.dtype) -> TargetRegions:
    """Regions of each image in the ground truth: one for each category of its label map.

    Args:
        labels_BHW: category of each pixel as an index into T, or `IGNORE`.
        selection: categories in the K slots.
        dtype: number type of the masks.
    """
    slot_BHW = selection.localize(labels_BHW)
    present_BK = present_labels(slot_BHW, selection.index_BK.shape[1])
    counts = tuple(present_BK.sum(1).tolist())
    slot_R = present_BK.nonzero()[:, 1]
    masks = [
        (slot_HW == slot_G[:, None, None]).to(dtype)
        for slot_HW, slot_G in zip(slot_BHW, slot_R.split(counts), strict=True)
    ]
    return TargetRegions(slot_R, torch.cat(masks), counts)


@torch.no_grad()
def match(costs: Sequence[Tensor], valid_BQ: Tensor) -> Pairs:
    """Pairs of the least total cost in each image.

    The costs of all images travel to the host together, so that it waits for the device once.

    Args:
        costs: cost (Q, G) of each pair, for each image.
        valid_BQ: False for proposals that must not be matched.

    Raises:
        FloatingPointError: a cost of a valid proposal that is NaN or infinite.
    """
    # the last column says which proposals are valid
    tables = [
        torch.cat([cost_QG, valid_Q[:, None].to(cost_QG)], dim=1)
        for cost_QG, valid_Q in zip(costs, valid_BQ, strict=True)
    ]
    on_host = torch.cat([table.flatten() for table in tables]).cpu()
    parts = on_host.split([table.numel() for table in tables])
    first, found, counts = 0, [], []
    for image, (part, table) in enumerate(zip(parts, tables, strict=True)):
        query_N, column_N = _cheapest(part.view(table.shape), image)
        image_N = torch.full_like(query_N, image)
        found.append(torch.stack([image_N, query_N, column_N + first]))
        counts.append(query_N.shape[0])
        first += table.shape[1] - 1
    image_N, query_N, region_N = torch.cat(found, dim=1).to(valid_BQ.device)
    return Pairs(image_N, query_N, region_N, tuple(counts))


def _cheapest(table_QG1: Tensor, image: int) -> tuple[Tensor, Tensor]:
    """Proposals and regions that are matched in an image."""
    from scipy.optimize import linear_sum_assignment

    query_V = table_QG1[:, -1].nonzero()[:, 0]
    cost_VG = table_QG1[query_V, :-1]
    if not cost_VG.isfinite().all():
        bad = int((~cost_VG.isfinite()).any(1).sum())
        raise FloatingPointError(
            f"Matching expects finite costs, but {bad} of {cost_VG.shape[0]} proposals of image "
            f"{image} of the batch have NaN or infinite class or mask logits. Lower the learning "
            f"rate, or train in full precision."
        )
    row_N, column_N = linear_sum_assignment(cost_VG.numpy())
    return query_V[torch.from_numpy(row_N)], torch.from_numpy(column_N)
