"""TagValidation: relabels regions of unseen categories where CLIP disagrees, eq. 17."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ovss.interfaces import PostProcessor
from ovss.io.excerpts import excerpt
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores, split_synonyms
from ovss.vocabularies import load_names

from .options import at_least, one_of
from .verdicts import RegionJudge, move_regions

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
        if self.k >= len(scores.text.embeds_TPC):
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
        judge = RegionJudge(scores, self.pool == "prob_weighted", self.candidates == "selected")
        names = scores.text.vocabulary.names
        unseen = [not self._is_seen(name) for name in names]
        if self.region == "component":
            verdicts = judge.components(self.min_area, unseen)
        else:
            verdicts = judge.classes()
        moves = [
            verdict
            for verdict in verdicts
            if verdict.area and verdict.area >= self.min_area * judge.pixels
            if unseen[verdict.category] and verdict.better >= self.k
        ]
        return move_regions(scores, moves) if moves else scores

    def _keys(self, name: str) -> tuple[str, ...]:
        """Parts of a class name that are compared."""
        lower = name.strip().lower()
        return split_synonyms(lower) if self.seen_match == "synonym" else (lower,)

    def _is_seen(self, name: str) -> bool:
        return not self.seen.isdisjoint(self._keys(name))
