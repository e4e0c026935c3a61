"""Regions of a label map, judged by the features of the image, and moved to other categories.

Everything is computed on the device of the scores. A GPU is waited for once, when the verdicts of
all regions are read (twice for connected components, which are found on the host).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.layers.chunks import rows_at_once
from ovss.layers.regions import find_regions
from ovss.ops import region_pool
from ovss.structures import Scores, Selection


@dataclass(frozen=True)
class Verdict:
    """Judgement of a region.

    Args:
        batch_index: index of the image in its batch.
        category: category of the region.
        area: number of pixels.
        better: number of categories that are nearer to the region's features than its own.
        nearest: nearest category.
        is_kept: True if the image keeps the nearest category.
        mask_HW: pixels of the region.
    """

    batch_index: int
    category: int
    area: int
    better: int
    nearest: int
    is_kept: bool
    mask_HW: Tensor


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
        self.pixels = self.labels_BHW[0].numel()

    def classes(self) -> list[Verdict]:
        """Judges the pixels of each kept category, in ascending order of category."""
        selection, labels_BHW = self.scores.selection, self.labels_BHW
        category_BK = selection.index_BK.masked_fill(~selection.valid_BK, -1)
        found = []
        for i, (category_K, labels_HW) in enumerate(zip(category_BK, labels_BHW, strict=True)):
            slot_K = torch.arange(len(category_K), device=labels_HW.device)
            if labels_HW.device.type == "cpu":  # where reading values costs nothing
                slot_K = slot_K[torch.isin(category_K, labels_HW.unique())]
            for slot_N in slot_K.split(rows_at_once(4, labels_HW, self.pixels)):
                mask_NHW = labels_HW == category_K[slot_N, None, None]
                found.append(self._judged(i, mask_NHW, category_K[slot_N], slot_N))
        return [
            Verdict(i, category, area, better, nearest, bool(kept), labels_BHW[i] == category)
            for i, category, area, better, nearest, kept in sorted(torch.cat(found).tolist())
            if category >= 0
        ]

    def components(self, min_area: float, wanted: Sequence[bool]) -> list[Verdict]:
        """Judges each connected component of some categories.

        Args:
            min_area: smallest area of a component, as a fraction of the image.
            wanted: True for the categories whose components are judged.
        """
        selection, device = self.scores.selection, self.labels_BHW.device
        every_BT = torch.arange(len(wanted), device=device).expand(selection.batch, -1)
        slot_BT = selection.localize(every_BT[:, None])[:, 0]
        host_BHW, verdicts = self.labels_BHW.cpu(), []
        for i in range(selection.batch):
            own_1HW = host_BHW[i : i + 1]
            regions = list(find_regions(own_1HW, min_area, True, lambda c: wanted[c]))
            if not regions:
                continue
            mask_NHW = torch.stack([region.mask_HW for region in regions]).to(device)
            category_N = torch.tensor([region.category for region in regions], device=device)
            judged = self._judged(i, mask_NHW, category_N, slot_BT[i, category_N]).tolist()
            for (_, category, area, better, nearest, kept), mask_HW in zip(judged, mask_NHW):
                verdicts.append(Verdict(i, category, area, better, nearest, bool(kept), mask_HW))
        return verdicts

    def _judged(self, i: int, mask_NHW: Tensor, category_N: Tensor, slot_N: Tensor) -> Tensor:
        """Fields of the verdicts of regions of image i, in the order of `Verdict`, (N, 6)."""
        weight_NHW = mask_NHW.float()
        if self.weighted:
            weight_NHW = weight_NHW * self.scores.probs_BKHW[i, slot_N].float()
        pooled_NC = region_pool(self.dense_BChw[i : i + 1], weight_NHW[None])[0]
        cosine_NT = F.normalize(pooled_NC, dim=1) @ self.unit_TC.T
        if self.selected:
            cosine_NT = cosine_NT.masked_fill(~self.kept_BT[i], -torch.inf)
        own_N1 = cosine_NT.gather(1, category_N.clamp(min=0)[:, None])
        better_N, nearest_N = (cosine_NT > own_N1).sum(1), cosine_NT.argmax(1)
        kept_N = self.kept_BT[i, nearest_N].long()
        image_N, area_N = torch.full_like(category_N, i), mask_NHW.sum((1, 2))
        return torch.stack([image_N, category_N, area_N, better_N, nearest_N, kept_N], dim=1)


def move_regions(scores: Scores, moves: Sequence[Verdict]) -> Scores:
    """Moves the scores of regions to the maps of their nearest categories, created if missing.

    Args:
        scores: scores to start from, left unchanged.
        moves: verdicts of the regions to move.
    """
    old = scores.selection
    keep_BT, added = old.mask(), [set() for _ in range(old.batch)]
    for move in moves:
        keep_BT[move.batch_index, move.nearest] = True
        if not move.is_kept:
            added[move.batch_index].add(move.nearest)
    counts = [count + len(extra) for count, extra in zip(old.counts, added, strict=True)]
    new = Selection.from_mask(keep_BT, old.scores_BT, counts)
    shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
    probs_BKHW = scores.probs_BKHW.new_zeros(shape)
    every_BT = torch.arange(new.num_categories, device=keep_BT.device).expand(old.batch, -1)
    slot_BT = new.localize(every_BT[:, None])[:, 0]
    image_N = old.image_N
    probs_BKHW[image_N, slot_BT[image_N, old.category_N]] = old.pack(scores.probs_BKHW)
    for move in moves:
        probs_KHW, slot_T = probs_BKHW[move.batch_index], slot_BT[move.batch_index]
        # slices keep the slots on the device: a number would have to be read
        source_1, target_1 = (slot_T[c : c + 1] for c in (move.category, move.nearest))
        source_1HW, target_1HW = probs_KHW[source_1], probs_KHW[target_1]
        higher_1HW = torch.maximum(source_1HW, target_1HW)
        probs_KHW[target_1] = torch.where(move.mask_HW, higher_1HW, target_1HW)
        probs_KHW[source_1] = source_1HW.masked_fill(move.mask_HW, 0.0)
    return replace(scores, probs_BKHW=probs_BKHW, selection=new)
