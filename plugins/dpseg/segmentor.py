"""DPSegmentor: the same figure twice, the second time with what the first has found."""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ovss.inference import label_map, merged_scores
from ovss.registry import check_arguments
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Masks, Scores, TextFeatures

from .encoder import DualPromptEncoder
from .frozen import FrozenEncoder
from .prompts import VisualPrompts, dual_prompts, replaced
from .refinement import Refinement


@MODELS.register_module()
class DPSegmentor(OpenVocabSegmentor):
    """Two passes at inference (DPSeg's Inference II); one in training.

    After the first pass every category that was found is cut out of the picture and encoded; its
    visual prompts are replaced, those of the others stay. The second pass starts from the first
    one's image features: the encoder sees each view once.

    Any encoder will do: `DualPromptEncoder` brings visual prompts and the frozen encoder for the
    crops; another one starts with V := T and encodes the crops itself.

    Args:
        refinement: arguments of `refinement.Refinement`; None: one pass (Inference I).
        encoder, head, decoder, selector, post_processor, criterion, prompts, inference,
            data_preprocessor, init_cfg: see `OpenVocabSegmentor`.
    """

    def __init__(
        self,
        encoder: dict,
        head: dict,
        decoder: dict,
        selector: dict | None = None,
        post_processor: dict | None = None,
        criterion: dict | None = None,
        prompts: dict | None = None,
        inference: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        refinement: dict | None = None,
    ) -> None:
        super().__init__(
            *(encoder, head, decoder, selector, post_processor, criterion, prompts, inference),
            *(data_preprocessor, init_cfg),
        )
        check_arguments(Refinement, dict(refinement or {}))
        self.refinement = None if refinement is None else Refinement(**refinement)

    @torch.no_grad()
    def scores(self, image_3HW: Tensor, text: TextFeatures) -> Scores:
        """Merged and post-processed scores of one picture, RGB in 0..255."""
        if self.refinement is None:
            return super().scores(image_3HW, text)
        seen: list[ImageFeatures] = []

        def first(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
            seen.append(self.encoder.encode_image(views_V3HW))
            return seen[-1], self.segment(seen[-1], text)

        scores = merged_scores(image_3HW, text, first, self.inference)
        refined = self.refined(image_3HW, scores, text)
        if refined is not text:
            again = iter(seen)

            def second(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
                features = next(again)  # views come in the same order
                return features, self.segment(features, refined)

            scores = merged_scores(image_3HW, refined, second, self.inference)
        return self.post_processor(scores)

    @torch.no_grad()
    def refined(self, image_3HW: Tensor, scores: Scores, text: TextFeatures) -> TextFeatures:
        """The text with new visual prompts for what `scores` find in the picture."""
        refinement = self.refinement or Refinement()
        size = (image_3HW.shape[1], image_3HW.shape[2])
        regions = refinement.regions(label_map(scores, size)[0])
        if not regions or refinement.alpha == 0:
            return text
        plain, visual = self._apart(text)
        embeds_NC, levels = refinement.prompts(regions, image_3HW, scores.features, self._frozen())
        categories = [region.category for region in regions]
        levels = levels if visual.levels else ()
        visual = replaced(visual, categories, embeds_NC, levels, refinement.alpha)
        if isinstance(self.encoder, DualPromptEncoder):
            return self.encoder.mixed(plain, visual)
        return dual_prompts(plain, visual)

    def _apart(self, text: TextFeatures) -> tuple[TextFeatures, VisualPrompts]:
        """T, and the visual prompts of the first pass."""
        if isinstance(self.encoder, DualPromptEncoder):
            if text.vocabulary is None:
                raise ValueError("a second pass needs the words: TextFeatures.vocabulary")
            vocabulary = text.vocabulary
            return self.encoder.text(vocabulary), self.encoder.visual(vocabulary)
        found_T = torch.ones(len(text.embeds_TPC), dtype=torch.bool, device=text.embeds_TPC.device)
        return text, VisualPrompts(text.embeds_TPC, text.levels, found_T)

    def _frozen(self) -> FrozenEncoder:
        if isinstance(self.encoder, DualPromptEncoder):
            return self.encoder.frozen
        return FrozenEncoder(self.encoder)
