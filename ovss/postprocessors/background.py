"""Background: what no word of the vocabulary claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.chunks import rows_at_once
from ovss.registry import POSTPROCESSORS
from ovss.structures import IGNORE, Scores, Selection, Vocabulary, split_synonyms
from ovss.vocabularies import load_names


@POSTPROCESSORS.register_module()
class Background(PostProcessor):
    """Assigns uncertain pixels, and pixels of categories that stand for it, to one category.

    CLIP does not know "background" well. Evaluations with a background class (VOC21, Context60,
    COCO-Object) therefore let categories such as wall, sky and grass compete for it. A pixel is
    background if one of them wins, or if the best score stays below a threshold. Both follow the
    code of SCLIP and NACLIP:

        score(background) = max(scores of its categories, threshold)

    Exactly the pixels whose best other score is below the threshold become background. The result
    no longer has the categories that stand for the background. They must be in the vocabulary of
    the call. A vocabulary without `name` has no background, and its scores stay as they are.
    Synonyms of `name` that are queries of their own (``synonyms="max"``) stand for it as well.

    Args:
        name: first synonym of the background category, in upper or lower case.
        words: categories that stand for it, as a registered vocabulary, a text file or names. Those
            that the vocabulary lacks are ignored.
        threshold: probability; 0 disables it.
        own_word: True if the scores of the category `name` itself compete.
        area: share of the pixels that are not background. A category that wins at most this share
            of them scores 0 everywhere, before the threshold; 0 disables it. SCLIP and SC-CLIP use
            0.1 on VOC21.

    Raises:
        ValueError: a threshold or an area outside 0..1.
    """

    def __init__(
        self,
        name: str = "background",
        words: str | Sequence[str] = (),
        threshold: float = 0.0,
        own_word: bool = True,
        area: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise ValueError(f"Background expects a threshold in 0..1, got {excerpt(threshold)}")
        check_range("Background", 0, 1, area=area)
        self.area = area
        self.name, self.threshold, self.own_word = _label(name), threshold, own_word
        self.words = {_label(word) for word in load_names(words)} if len(words) else set()

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        """
        Raises:
            ValueError: the scores come without names.
        """
        if scores.text.vocabulary is None:
            raise ValueError(
                "Background needs the names of the categories: TextFeatures.vocabulary"
            )
        target, ground_T = self._places(scores.text.vocabulary)
        if target is None:
            return scores
        old = scores.selection
        ground_T = ground_T.to(old.index_BK.device)
        new = _selection(old, ground_T, target)
        category_T = scores.text.category_T
        own_T = category_T == category_T[target] if not self.own_word else None
        small_BT = self._small(scores, ground_T)
        every_BT = torch.arange(ground_T.shape[0], device=ground_T.device).expand(old.batch, -1)
        old_BT, new_BT = (each.localize(every_BT[:, None])[:, 0] for each in (old, new))
        stays_BT = ~ground_T & (old_BT != IGNORE)
        if own_T is not None:
            stays_BT = stays_BT & ~own_T
        if small_BT is not None:
            stays_BT = stays_BT & ~small_BT
        stays_BK = stays_BT.gather(1, new.index_BK) & new.valid_BK
        source_BK11 = old_BT.gather(1, new.index_BK).clamp(min=0)[:, :, None, None]
        shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
        probs_BKHW = scores.probs_BKHW.gather(1, source_BK11.expand(shape))
        probs_BKHW.masked_fill_(~stays_BK[:, :, None, None], 0.0)
        ground_B1HW = self._ground(scores, ground_T if own_T is None else ground_T & ~own_T)
        slot_B111 = new_BT[:, target, None, None, None]
        probs_BKHW.scatter_(1, slot_B111.expand_as(ground_B1HW), ground_B1HW)
        return replace(scores, probs_BKHW=probs_BKHW, selection=new)

    def _ground(self, scores: Scores, ground_T: Tensor) -> Tensor:
        """Scores (B, 1, H, W) of the background, from the categories that stand for it."""
        selection, probs_BKHW = scores.selection, scores.probs_BKHW
        absent_BK11 = ~(selection.gather(ground_T) & selection.valid_BK)[:, :, None, None]
        ground_B1HW = torch.zeros_like(probs_BKHW[:, :1])
        at_once = rows_at_once(1, probs_BKHW, probs_BKHW[:, 0].numel())
        for map_BkHW, absent_Bk11 in zip(
            probs_BKHW.split(at_once, 1), absent_BK11.split(at_once, 1), strict=True
        ):
            map_B1HW = map_BkHW.masked_fill(absent_Bk11, 0.0).amax(1, keepdim=True)
            torch.maximum(ground_B1HW, map_B1HW, out=ground_B1HW)
        return ground_B1HW.clamp_(min=self.threshold)

    def _places(self, vocabulary: Vocabulary) -> tuple[int | None, Tensor]:
        """Index of the background, and (T,) which categories stand for it, itself included."""
        labels = [_label(name) for name in vocabulary.names]
        target = labels.index(self.name) if self.name in labels else None
        if target is None:
            return None, torch.zeros(len(labels), dtype=torch.bool)
        owners = vocabulary.owners or range(len(labels))
        ground_T = torch.tensor(
            [
                owner == owners[target] or label in self.words
                for label, owner in zip(labels, owners, strict=True)
            ]
        )
        return target, ground_T

    def _small(self, scores: Scores, ground_T: Tensor) -> Tensor | None:
        """(B, T) categories that win too few pixels; None if the area does not matter."""
        if not self.area:
            return None
        owner_T = scores.text.category_T.to(ground_T.device)
        best_BN = scores.labels_BHW().flatten(1)
        count_BT = torch.zeros(best_BN.shape[0], owner_T.shape[0], device=best_BN.device)
        front_BN = (~ground_T)[best_BN]
        count_BT.scatter_add_(1, owner_T[best_BN], front_BN.to(count_BT))
        total_B1 = front_BN.sum(1, keepdim=True)
        return (count_BT <= self.area * total_B1)[:, owner_T]


def _label(name: str) -> str:
    return split_synonyms(name.lower())[0]


def _selection(old: Selection, ground_T: Tensor, target: int) -> Selection:
    """Selection with the background category and without the categories that stand for it."""
    keep_BT = old.mask() & ~ground_T
    keep_BT[:, target] = True
    return Selection.from_mask(keep_BT, old.scores_BT)
