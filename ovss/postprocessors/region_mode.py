"""Label mode inside regions: every region of the image gets one category."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.axes import take
from ovss.interfaces import PostProcessor, Proposer
from ovss.io.excerpts import excerpt
from ovss.ops import resize
from ovss.registry import POSTPROCESSORS, PROPOSERS
from ovss.structures import ImageFeatures, Proposals, Scores

PRIORITIES = {
    "largest": "the largest region",
    "smallest": "the smallest region",
    "first": "the first region of the proposer",
}
"""Region that a pixel belongs to if several cover it."""


@POSTPROCESSORS.register_module()
class RegionMode(PostProcessor):
    """Gives all pixels of a region the category that most of them have; scores decide a tie.

    CorrCLIP (arXiv 2411.10086) calls this map correction. Regions come from any proposer: files of
    a folder, superpixels, Segment Anything, or a trained one. Pixels outside of all regions keep
    their category.

    The scores of the pixel's own category and of the region's category change places, so a pixel
    keeps its best score. Scores are resized to the canvas of the protocol if they are smaller.
    Synonyms that are queries of their own count as one category.

    Args:
        proposer: config of a `Proposer`, such as ``dict(type="FolderProposer", folder="masks")``.
        priority: region that a pixel belongs to if several cover it, a key of `PRIORITIES`.
            CorrCLIP paints larger regions over smaller ones.
        min_area: regions with fewer pixels, at the size of the scores, change nothing.

    Raises:
        ValueError: an unknown priority.
    """

    def __init__(self, proposer: dict, priority: str = "largest", min_area: int = 1) -> None:
        super().__init__()
        if priority not in PRIORITIES:
            raise ValueError(
                f"RegionMode.priority must be one of {', '.join(PRIORITIES)}, got "
                f"{excerpt(priority)}. Choose one of them."
            )
        self.proposer: Proposer = PROPOSERS.build(proposer)
        self.priority, self.min_area = priority, min_area
        self.needs_whole_view = bool(self.proposer.level_dims) or bool(self.proposer.joint_dim)

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Exchanges scores inside the regions.

        Raises:
            ValueError: the scores do not contain the image.
        """
        canvas_B3YX = scores.canvas_B3YX
        if canvas_B3YX is None:
            raise ValueError(
                "RegionMode proposes regions of the image, but these scores do not contain it. "
                "Pass the image to Scores as canvas_B3YX."
            )
        features = scores.features or _no_features(canvas_B3YX)
        proposals = self.proposer(features, canvas_B3YX)
        size = tuple(map(max, scores.probs_BKHW.shape[2:], canvas_B3YX.shape[2:]))
        probs_BKHW = resize(scores.probs_BKHW, (size[0], size[1])).clone().contiguous()
        for image in range(probs_BKHW.shape[0]):
            one = slice(image, image + 1)
            region_HW, count = self._regions(take(proposals, B=one), (size[0], size[1]))
            index_K, valid_K = (
                x[image] for x in (scores.selection.index_BK, scores.selection.valid_BK)
            )
            category_T = scores.text.category_T.to(index_K.device)
            _exchange(
                probs_BKHW[image],
                region_HW,
                count,
                category_T[index_K],
                valid_K,
                category_T.shape[0],
            )
        return replace(scores, probs_BKHW=probs_BKHW)

    def _regions(self, proposals: Proposals, size: tuple[int, int]) -> tuple[Tensor, int]:
        """Region (H, W) of each pixel of one image, -1 for none, and the number of regions."""
        # an invalid proposal covers nothing; leaving it out would need its number on the host
        absent_Q11 = ~proposals.valid_BQ[0, :, None, None]
        logits_QHW = proposals.mask_BQhw[0].masked_fill(absent_Q11, -torch.inf)
        if proposals.padding is not None:
            height, width = (
                round(side * own / whole)
                for side, own, whole in zip(
                    logits_QHW.shape[1:],
                    proposals.padding.image,
                    proposals.padding.padded,
                    strict=True,
                )
            )
            logits_QHW = logits_QHW[:, :height, :width]
        count = logits_QHW.shape[0]
        if not count:
            return torch.full(size, -1, device=logits_QHW.device), 0
        mask_QHW = F.interpolate((logits_QHW > 0).float()[None], size)[0] > 0
        area_Q = mask_QHW.flatten(1).sum(1)
        rank_Q = {
            "largest": area_Q,
            "smallest": -area_Q,
            "first": -torch.arange(count, device=area_Q.device),
        }[self.priority].argsort(stable=True)
        place_Q = torch.empty_like(rank_Q).scatter_(
            0, rank_Q, torch.arange(count, device=rank_Q.device)
        )
        place_Q = place_Q.masked_fill(area_Q < self.min_area, -1)
        best_HW = torch.where(mask_QHW, place_Q[:, None, None], -1).amax(0)
        return torch.where(best_HW < 0, -1, rank_Q[best_HW.clamp(min=0)]), count


def _no_features(canvas_B3YX: Tensor) -> ImageFeatures:
    """Features for proposers that look at pixels alone, of which they read the type."""
    batch = canvas_B3YX.shape[0]
    return ImageFeatures(canvas_B3YX.new_zeros(batch, 1, 1, 1), canvas_B3YX.new_zeros(batch, 1))


def _exchange(
    probs_KHW: Tensor,
    region_HW: Tensor,
    count: int,
    category_K: Tensor,
    valid_K: Tensor,
    categories: int,
) -> None:
    """Exchanges, in place, each pixel's best score with that of its region's category.

    Args:
        probs_KHW: scores of one image, contiguous.
        region_HW: region of each pixel, -1 for none.
        count: number of regions R.
        category_K: category of each slot.
        valid_K: False for padding slots.
        categories: number of categories.
    """
    kept = probs_KHW.shape[0]
    best_N = probs_KHW.masked_fill(~valid_K[:, None, None], -torch.inf).max(0).indices.flatten()
    region_N = torch.where(region_HW < 0, count, region_HW).flatten()  # one more: no region
    values_KN = probs_KHW.flatten(1)
    votes_RK = best_N.new_zeros((count + 1) * kept)
    votes_RK.scatter_add_(0, region_N * kept + best_N, torch.ones_like(best_N))
    votes_RK = votes_RK.view(count + 1, kept)
    sum_RK = values_KN.new_zeros(count + 1, kept).index_add_(0, region_N, values_KN.T)
    mode_R = _most(*(x.new_zeros(count + 1, categories).index_add_(1, category_K, x)
                     for x in (votes_RK, sum_RK)))  # fmt: skip
    # Of the names of the category, the one with the most pixels; one at least wins a pixel.
    slot_R = _most(votes_RK.masked_fill(category_K != mode_R[:, None], -1), sum_RK)
    slot_N = slot_R[region_N]
    # A pixel that has the category already, by another name, stays as it is.
    stays_N = (region_N == count) | (category_K[best_N] == category_K[slot_N])
    slot_1N, best_1N = torch.where(stays_N, best_N, slot_N)[None], best_N[None]
    own_1N, other_1N = values_KN.gather(0, best_1N), values_KN.gather(0, slot_1N)
    values_KN.scatter_(0, best_1N, other_1N).scatter_(0, slot_1N, own_1N)


def _most(votes_RK: Tensor, sum_RK: Tensor) -> Tensor:
    """Column with the most votes of each row; of equal ones, that with the largest sum."""
    has_most_RK = votes_RK == votes_RK.amax(1, keepdim=True)
    return sum_RK.masked_fill(~has_most_RK, -torch.inf).max(1).indices
