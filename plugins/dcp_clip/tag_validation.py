"""TagValidation: relabels regions of unseen categories where CLIP disagrees, eq. 17."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.io.excerpts import excerpt
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores, TextFeatures
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import MATCHES, SeenNames

from .options import at_least, one_of
from .verdicts import Limits, RegionJudge, move_pixels

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
        self.k, self.min_area = k, min_area
        one_of(_NAME, "seen_match", seen_match, tuple(MATCHES))
        self.seen = SeenNames(load_names(seen) if len(seen) else (), seen_match)

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """Moves the scores of regions that CLIP assigns to another category.

        Raises:
            ValueError: the scores lack features of the whole image, or class names.
        """
        # a graph is the same for every size of the vocabulary; none of few categories is further
        if not torch.compiler.is_exporting() and self.k >= scores.text.num_categories:
            return scores
        if scores.features is None:
            raise ValueError(
                f"{_NAME} expects features of the whole image, but no view covers it. "
                "Set inference=dict(global_view=True)."
            )
        seen_T = self._seen_T(scores.text)
        judge = RegionJudge(scores, self.pool == "prob_weighted", self.candidates == "selected")
        limits = Limits(~seen_T, self.k, self.min_area)
        by_component = self.region == "component"
        target_BHW = judge.components(limits) if by_component else judge.classes(limits)
        return move_pixels(scores, target_BHW)

    def _seen_T(self, text: TextFeatures) -> Tensor:
        """True for the categories that were seen in training, bool (T,)."""
        if text.vocabulary is None and not text.marked:
            raise ValueError(
                f"{_NAME} expects class names, but the text features have none. "
                "Set TextFeatures.vocabulary."
            )
        seen_T = text.seen_T(self.seen)
        if seen_T is None:
            return torch.zeros(text.num_categories, dtype=torch.bool, device=text.device)
        return seen_T
