"""TagValidation: regions of unseen categories are named anew where CLIP disagrees, eq. 17."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.layers.regions import Region, find_regions
from ovss.ops import region_pool
from ovss.registry import POSTPROCESSORS
from ovss.structures import (
    ImageFeatures,
    Scores,
    Selection,
    TextFeatures,
    Vocabulary,
    split_synonyms,
)
from ovss.vocabularies import load_names

from .options import at_least, one_of

_NAME = "TagValidation"


@POSTPROCESSORS.register_module()
class TagValidation(PostProcessor):
    """Pools the image over each predicted region and asks CLIP which words are nearest.

    A region keeps its category if that was seen in training or is among the k nearest. Otherwise
    its scores move to the nearest category, which may be a seen one, and one that no view had kept.
    Pixels that carry a seen category are not touched. For scores that were merged from views, and
    at their resolution; no map is made but for categories that regions move to.

    Args:
        seen: categories of training: a registered vocabulary (``coco_stuff_171``), a text file, or
            the names; an empty list: none was seen.
        k: how many of the nearest are good enough. As many as there are categories: nothing
            changes.
        candidates: ``all`` of the vocabulary, or those ``selected`` in the picture.
        region: pixels of a ``class`` together, or each connected ``component`` for itself.
        pool: ``mean`` over the region, or ``prob_weighted``: by its scores.
        seen_match: names are compared in lower case, as a whole (``exact``), or any synonym of one
            with any of the other (``synonym``).
        min_area: smaller regions are left alone, as a share of the picture.

    Raises:
        ValueError: an argument out of range.
    """

    needs_whole_view = True

    def __init__(
        self,
        seen: str | Sequence[str],
        k: int = 5,
        candidates: str = "all",
        region: str = "class",
        pool: str = "mean",
        seen_match: str = "exact",
        min_area: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(_NAME, 1, k=k)
        if not 0 <= min_area <= 1:
            raise ValueError(f"{_NAME}: min_area is a share, 0..1, got {min_area!r}")
        self.candidates = one_of(_NAME, "candidates", candidates, ("all", "selected"))
        self.region = one_of(_NAME, "region", region, ("class", "component"))
        self.pool = one_of(_NAME, "pool", pool, ("mean", "prob_weighted"))
        self.seen_match = one_of(_NAME, "seen_match", seen_match, ("exact", "synonym"))
        self.k, self.min_area = k, min_area
        names = load_names(seen) if len(seen) else ()
        self.seen = {key for name in names for key in self._keys(name)}

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """
        Raises:
            ValueError: the scores come without features of the whole picture, or without names.
        """
        if self.k >= len(scores.text.embeds_TPC):
            return scores
        if scores.features is None:
            raise ValueError(
                f"{_NAME} pools the features of the whole picture, but the views had none of it: "
                "set inference=dict(global_view=True)"
            )
        if scores.text.vocabulary is None:
            raise ValueError(f"{_NAME} needs the names of the categories: TextFeatures.vocabulary")
        regions = list(self._regions(scores, scores.text.vocabulary))
        moves = self._moves(regions, scores, scores.features, scores.text) if regions else []
        return moved(scores, moves) if moves else scores

    def _keys(self, name: str) -> tuple[str, ...]:
        """What is compared of a name."""
        lower = name.strip().lower()
        return split_synonyms(lower) if self.seen_match == "synonym" else (lower,)

    def _is_seen(self, name: str) -> bool:
        return not self.seen.isdisjoint(self._keys(name))

    def _regions(self, scores: Scores, vocabulary: Vocabulary) -> Iterator[Region]:
        """Regions of unseen categories."""
        return find_regions(
            scores.labels_BHW(),
            self.min_area,
            self.region == "component",
            lambda category: not self._is_seen(vocabulary.names[category]),
        )

    def _moves(
        self, regions: list[Region], scores: Scores, image: ImageFeatures, text: TextFeatures
    ) -> list[tuple[Region, int]]:
        """Regions that change, and the category that they become."""
        unit_TC = F.normalize(text.mean_TC, dim=1)
        kept_BT = scores.selection.mask()
        moves = []
        for region in regions:
            dense_1Chw = image.dense_BChw[region.batch_index : region.batch_index + 1].float()
            pooled_C = region_pool(dense_1Chw, self._weights(region, scores))[0, 0]
            cosine_T = unit_TC @ F.normalize(pooled_C, dim=0)
            if self.candidates == "selected":
                cosine_T = cosine_T.masked_fill(~kept_BT[region.batch_index], -torch.inf)
            better = int((cosine_T > cosine_T[region.category]).sum())
            if better >= self.k:
                moves.append((region, int(cosine_T.argmax())))
        return moves

    def _weights(self, region: Region, scores: Scores) -> Tensor:
        """(1, 1, H, W)"""
        weight_HW = region.mask_HW.float()
        if self.pool == "prob_weighted":
            slot = int(slots_of(scores.selection, region.batch_index)[region.category])
            weight_HW = weight_HW * scores.probs_BKHW[region.batch_index, slot].float()
        return weight_HW[None, None]


def slots_of(selection: Selection, image: int) -> dict[int, int]:
    """Category -> slot of one image."""
    live = selection.valid_BK[image].nonzero()[:, 0].tolist()
    index_K = selection.index_BK[image].tolist()
    return {index_K[slot]: slot for slot in live}


def moved(scores: Scores, moves: list[tuple[Region, int]]) -> Scores:
    """Scores of each region moved from its category's map to another's, made where none is."""
    old = scores.selection
    keep_BT = old.mask()
    for region, target in moves:
        keep_BT[region.batch_index, target] = True
    new = Selection.from_mask(keep_BT, old.scores_BT)
    shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
    probs_BKHW = scores.probs_BKHW.new_zeros(shape)
    for image in range(old.batch):
        places = slots_of(new, image)
        for category, slot in slots_of(old, image).items():
            probs_BKHW[image, places[category]] = scores.probs_BKHW[image, slot]
    for region, target in moves:
        places = slots_of(new, region.batch_index)
        source_HW = probs_BKHW[region.batch_index, places[region.category]]
        target_HW = probs_BKHW[region.batch_index, places[target]]
        higher_HW = torch.maximum(source_HW, target_HW)
        target_HW.copy_(torch.where(region.mask_HW, higher_HW, target_HW))
        source_HW.masked_fill_(region.mask_HW, 0.0)
    return replace(scores, probs_BKHW=probs_BKHW, selection=new)
