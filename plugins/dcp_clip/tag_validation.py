"""TagValidation: relabels regions of unseen categories where CLIP disagrees, eq. 17."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.io.excerpts import excerpt
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
    """Compares CLIP's image features of each predicted region with the vocabulary.

    A region keeps its category if this category was seen in training or is among the k nearest.
    Otherwise its scores move to the nearest category, which may be a seen one or one that no view
    has kept. Pixels of seen categories are not changed. The scores must be merged from all views,
    and they are changed at their own resolution. New maps are created only for categories that
    regions move to.

    Args:
        seen: categories of training, as a registered vocabulary (``coco_stuff_171``), a text file
            or a list of class names. An empty list means that no category was seen.
        k: number of nearest categories that confirm a region. With as many as the vocabulary has,
            nothing changes.
        candidates: possible new categories, ``all`` of the vocabulary or those ``selected`` in the
            image.
        region: unit that is relabelled, all pixels of a ``class`` or each connected ``component``.
        pool: average over the region, ``mean`` or ``prob_weighted`` by the region's scores.
        seen_match: comparison of class names in lower case, the whole name (``exact``) or any
            synonym of both names (``synonym``).
        min_area: smallest area of a region that is checked, as a fraction of the image.

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
            raise ValueError(
                f"{_NAME} expects min_area between 0 and 1, but got {excerpt(min_area)}. "
                "Give the area as a fraction of the image."
            )
        self.candidates = one_of(_NAME, "candidates", candidates, ("all", "selected"))
        self.region = one_of(_NAME, "region", region, ("class", "component"))
        self.pool = one_of(_NAME, "pool", pool, ("mean", "prob_weighted"))
        self.seen_match = one_of(_NAME, "seen_match", seen_match, ("exact", "synonym"))
        self.k, self.min_area = k, min_area
        names = load_names(seen) if len(seen) else ()
        self.seen = {key for name in names for key in self._keys(name)}

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Moves the scores of regions that CLIP assigns to another category.

        Raises:
            ValueError: the scores lack features of the whole image, or class names.
        """
        if self.k >= len(scores.text):
            return scores
        if scores.features is None:
            raise ValueError(
                f"{_NAME} expects features of the whole image, but no view covers it. "
                "Set inference=dict(global_view=True)."
            )
        if scores.text.vocabulary is None:
            raise ValueError(
                f"{_NAME} expects class names, but the text features have none. "
                "Set TextFeatures.vocabulary."
            )
        regions = list(self._regions(scores, scores.text.vocabulary))
        moves = self._moves(regions, scores, scores.features, scores.text) if regions else []
        return move_regions(scores, moves) if moves else scores

    def _keys(self, name: str) -> tuple[str, ...]:
        """Parts of a class name that are compared."""
        lower = name.strip().lower()
        return split_synonyms(lower) if self.seen_match == "synonym" else (lower,)

    def _is_seen(self, name: str) -> bool:
        return not self.seen.isdisjoint(self._keys(name))

    def _regions(self, scores: Scores, vocabulary: Vocabulary) -> Iterator[Region]:
        """Yields the regions of unseen categories."""
        return find_regions(
            scores.labels_BHW(),
            self.min_area,
            self.region == "component",
            lambda category: not self._is_seen(vocabulary.names[category]),
        )

    def _moves(
        self, regions: list[Region], scores: Scores, image: ImageFeatures, text: TextFeatures
    ) -> list[tuple[Region, int]]:
        """Regions that change, and their new categories."""
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
        """Weights (1, 1, H, W) of the pixels of a region."""
        weight_HW = region.mask_HW.float()
        if self.pool == "prob_weighted":
            slot = slots_by_category(scores.selection, region.batch_index)[region.category]
            weight_HW = weight_HW * scores.probs_BKHW[region.batch_index, slot].float()
        return weight_HW[None, None]


def slots_by_category(selection: Selection, image: int) -> dict[int, int]:
    """Slot of each kept category of one image."""
    valid = selection.valid_BK[image].nonzero()[:, 0].tolist()
    index_K = selection.index_BK[image].tolist()
    return {index_K[slot]: slot for slot in valid}


def move_regions(scores: Scores, moves: list[tuple[Region, int]]) -> Scores:
    """Moves the scores of each region to the map of another category, which is created if missing.

    Args:
        scores: scores to start from, left unchanged.
        moves: regions and their new categories.
    """
    old = scores.selection
    keep_BT = old.mask()
    for region, target in moves:
        keep_BT[region.batch_index, target] = True
    new = Selection.from_mask(keep_BT, old.scores_BT)
    shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
    probs_BKHW = scores.probs_BKHW.new_zeros(shape)
    for image in range(old.batch):
        slots = slots_by_category(new, image)
        for category, slot in slots_by_category(old, image).items():
            probs_BKHW[image, slots[category]] = scores.probs_BKHW[image, slot]
    for region, target in moves:
        slots = slots_by_category(new, region.batch_index)
        source_HW = probs_BKHW[region.batch_index, slots[region.category]]
        target_HW = probs_BKHW[region.batch_index, slots[target]]
        higher_HW = torch.maximum(source_HW, target_HW)
        target_HW.copy_(torch.where(region.mask_HW, higher_HW, target_HW))
        source_HW.masked_fill_(region.mask_HW, 0.0)
    return replace(scores, probs_BKHW=probs_BKHW, selection=new)
