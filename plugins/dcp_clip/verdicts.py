"""Regions of a label map, judged by the features of the image, and moved to other categories.

Everything is computed on the device of the scores, and in an exported graph. A GPU is waited for
once, when the number of new maps is read (twice for connected components, which are found on the
host).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.kernels.portions import split_rows
from ovss.layers.chunks import rows_at_once
from ovss.layers.regions import find_regions
from ovss.ops import region_pool
from ovss.selection import present_labels
from ovss.structures import IGNORE, Scores, Selection


@dataclass(frozen=True)
class Limits:
    """Conditions under which a region is moved.

    Args:
        unseen_T: True for the categories whose regions may be moved.
        k: number of categories that must be nearer to the region's features than its own.
        min_area: smallest area of a region, as a fraction of the image.
    """

    unseen_T: Tensor
    k: int
    min_area: float


class RegionJudge:
    """Compares the image's features in each region with the vocabulary.

    Args:
        scores: scores with features of the whole image.
        weighted: True to weight the pixels of a region by its scores.
        selected: True to compare with the categories that the image keeps only.
    """

    def __init__(self, scores: Scores, weighted: bool, selected: bool) -> None:
        assert scores.features is not None
        self.scores, self.weighted, self.selected = scores, weighted, selected
        self.dense_BChw = scores.features.dense_BChw.float()
        self.unit_TC = F.normalize(scores.text.mean_TC, dim=1)
        self.kept_BT = scores.selection.mask()
        self.labels_BHW = scores.labels_BHW()
        self.pixels = self.labels_BHW.shape[1] * self.labels_BHW.shape[2]

    def classes(self, limits: Limits) -> Tensor:
        """Category (B, H, W) that each pixel moves to with its whole category, or `IGNORE`."""
        index_BK, valid_BK = self.scores.selection.index_BK, self.scores.selection.valid_BK
        targets = []
        for i, labels_HW in enumerate(self.labels_BHW):
            category_K = index_BK[i].masked_fill(~valid_BK[i], IGNORE)
            slot_K = torch.arange(category_K.shape[0], device=labels_HW.device)
            exports = torch.compiler.is_exporting()
            if labels_HW.device.type == "cpu" and not exports:  # reading values costs nothing
                slot_K = slot_K[torch.isin(category_K, labels_HW.unique())]
            target_T = torch.full_like(limits.unseen_T, IGNORE, dtype=torch.long)
            for slot_N in split_rows(slot_K, rows_at_once(4, labels_HW, self.pixels)):
                mask_NHW = labels_HW == category_K[slot_N, None, None]
                target_N = self._targets(i, mask_NHW, category_K[slot_N], slot_N, limits)
                # padding slots have no pixels, but point at a category of their own
                target_T = target_T.index_put((index_BK[i, slot_N],), target_N)
            targets.append(target_T[labels_HW])
        return torch.stack(targets)

    def components(self, limits: Limits) -> Tensor:
        """Category (B, H, W) that each pixel moves to with its connected component, or `IGNORE`."""
        selection, device = self.scores.selection, self.labels_BHW.device
        unseen = limits.unseen_T.tolist()
        slot_BT = _slots(selection)
        host_BHW = self.labels_BHW.cpu()
        target_BHW = torch.full_like(self.labels_BHW, IGNORE)
        for i in range(selection.batch):
            own_1HW = host_BHW[i : i + 1]
            regions = list(find_regions(own_1HW, limits.min_area, True, lambda c: unseen[c]))
            if not regions:
                continue
            mask_NHW = torch.stack([region.mask_HW for region in regions]).to(device)
            category_N = torch.tensor([region.category for region in regions], device=device)
            target_N = self._targets(i, mask_NHW, category_N, slot_BT[i, category_N], limits)
            for mask_HW, target in zip(mask_NHW, target_N, strict=True):
                target_BHW[i] = torch.where(mask_HW, target, target_BHW[i])
        return target_BHW

    def _targets(
        self, i: int, mask_NHW: Tensor, category_N: Tensor, slot_N: Tensor, limits: Limits
    ) -> Tensor:
        """Category (N,) that each region of image i moves to; `IGNORE` for those that stay."""
        weight_NHW = mask_NHW.float()
        if self.weighted:
            weight_NHW = weight_NHW * self.scores.probs_BKHW[i, slot_N].float()
        pooled_NC = region_pool(self.dense_BChw[i : i + 1], weight_NHW[None])[0]
        cosine_NT = F.normalize(pooled_NC, dim=1) @ self.unit_TC.T
        if self.selected:
            cosine_NT = cosine_NT.masked_fill(~self.kept_BT[i], -torch.inf)
        own_N = category_N.clamp(min=0)
        nearer_N = (cosine_NT > cosine_NT.gather(1, own_N[:, None])).sum(1)
        area_N = mask_NHW.sum((1, 2))
        moves_N = (area_N > 0) & (area_N >= limits.min_area * self.pixels)
        moves_N = moves_N & limits.unseen_T[own_N] & (nearer_N >= limits.k)
        return torch.where(moves_N, cosine_NT.argmax(1), IGNORE)


def move_pixels(scores: Scores, target_BHW: Tensor) -> Scores:
    """Moves the scores of pixels to the maps of other categories, which are created if missing.

    Args:
        scores: scores to start from, left unchanged.
        target_BHW: category that the score of a pixel's own category moves to, or `IGNORE`.
    """
    old, labels_BHW = scores.selection, scores.labels_BHW()
    moved_BHW = target_BHW != IGNORE
    on_cpu = labels_BHW.device.type == "cpu" and not torch.compiler.is_exporting()
    if on_cpu and not moved_BHW.any():  # reading a value costs nothing there
        return scores
    added_BT = present_labels(target_BHW, old.num_categories)
    new = Selection.from_mask(old.mask() | added_BT, old.scores_BT)
    shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
    slot_BT = _slots(new)
    probs_BKHW = scores.probs_BKHW.new_zeros(shape)
    image_N = old.image_N
    probs_BKHW = probs_BKHW.index_put(
        (image_N, slot_BT[image_N, old.category_N]), old.pack(scores.probs_BKHW)
    )
    source_B1HW, target_B1HW = (
        slot_BT.gather(1, each_BHW.flatten(1)).view_as(each_BHW)[:, None]
        for each_BHW in (labels_BHW, torch.where(moved_BHW, target_BHW, labels_BHW))
    )
    source_probs = probs_BKHW.gather(1, source_B1HW)
    highest = torch.maximum(source_probs, probs_BKHW.gather(1, target_B1HW))
    moved_B1HW = moved_BHW[:, None]
    # where a category stays, source and target are the same
    probs_BKHW = probs_BKHW.scatter(1, source_B1HW, source_probs.masked_fill(moved_B1HW, 0.0))
    probs_BKHW = probs_BKHW.scatter(1, target_B1HW, highest)
    return replace(scores, probs_BKHW=probs_BKHW, selection=new)


def _slots(selection: Selection) -> Tensor:
    """Slot (B, T) of each category; `IGNORE` where an image does not keep it."""
    every_T = torch.arange(selection.num_categories, device=selection.index_BK.device)
    return selection.localize(every_T.expand(selection.batch, 1, -1))[:, 0]
