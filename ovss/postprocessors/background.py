"""Background: what no word of the vocabulary claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ovss.axes import take
from ovss.interfaces import PostProcessor
from ovss.io.excerpts import excerpt
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores, Selection, Vocabulary, split_synonyms
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

    Args:
        name: first synonym of the background category, in upper or lower case.
        words: categories that stand for it, as a registered vocabulary, a text file or names. Those
            that the vocabulary lacks are ignored.
        threshold: probability; 0 disables it.
        own_word: True if the scores of the category `name` itself compete.

    Raises:
        ValueError: a threshold outside 0..1.
    """

    def __init__(
        self,
        name: str = "background",
        words: str | Sequence[str] = (),
        threshold: float = 0.0,
        own_word: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise ValueError(f"Background expects a threshold in 0..1, got {excerpt(threshold)}")
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
        target, word_T = self._places(scores.text.vocabulary)
        if target is None:
            return scores
        old = scores.selection
        word_T = word_T.to(old.index_BK.device)
        new = _selection(old, word_T, target)
        shape = (*new.index_BK.shape, *scores.probs_BKHW.shape[2:])
        probs_BKHW = scores.probs_BKHW.new_zeros(shape)
        every_11T = torch.arange(old.num_categories, device=word_T.device)[None, None]
        for image in range(old.batch):
            slot_T = take(new, B=slice(image, image + 1)).localize(every_11T)[0, 0]
            ground_HW = probs_BKHW[image, slot_T[target]]
            for slot in old.valid_BK[image].nonzero()[:, 0].tolist():
                category = int(old.index_BK[image, slot])
                map_HW = scores.probs_BKHW[image, slot]
                if category == target and not self.own_word:
                    continue
                if category == target or word_T[category]:
                    torch.maximum(ground_HW, map_HW, out=ground_HW)
                else:
                    probs_BKHW[image, slot_T[category]] = map_HW
            ground_HW.clamp_(min=self.threshold)
        return replace(scores, probs_BKHW=probs_BKHW, selection=new)

    def _places(self, vocabulary: Vocabulary) -> tuple[int | None, Tensor]:
        """Index of the background, and (T,) which categories stand for it."""
        labels = [_label(name) for name in vocabulary.names]
        target = labels.index(self.name) if self.name in labels else None
        word_T = torch.tensor([label in self.words and label != self.name for label in labels])
        return target, word_T


def _label(name: str) -> str:
    return split_synonyms(name.lower())[0]


def _selection(old: Selection, word_T: Tensor, target: int) -> Selection:
    """Selection with the background category and without the categories that stand for it."""
    keep_BT = old.mask() & ~word_T
    keep_BT[:, target] = True
    return Selection.from_mask(keep_BT, old.scores_BT)
