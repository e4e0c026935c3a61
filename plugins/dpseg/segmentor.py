"""DPSegmentor: segments twice, the second time with prompts from the first result."""

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
from .prompts import VisualPrompts, dual_prompts, replace_prompts
from .refinement import Refinement


@MODELS.register_module()
class DPSegmentor(OpenVocabSegmentor):
    """Segmentor with two passes at inference (DPSeg's Inference II) and one in training.

    After the first pass, every detected category is cut out of the image and encoded. The result
    replaces the visual prompts of this category; other categories keep theirs. The second pass
    reuses the image features of the first one, so that the encoder sees each view only once.

    Any encoder works. `DualPromptEncoder` provides visual prompts and the frozen encoder for the
    crops. With another encoder the first pass uses V := T, and this encoder encodes the crops.

    Args:
        refinement: arguments of `refinement.Refinement`; None for one pass (Inference I).
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
            encoder,
            head,
            decoder,
            selector,
            post_processor,
            criterion,
            prompts,
            inference,
            data_preprocessor,
            init_cfg,
        )
        check_arguments(Refinement, dict(refinement or {}))
        self.refinement = None if refinement is None else Refinement(**refinement)

    @torch.no_grad()
    def scores(self, image_3HW: Tensor, text: TextFeatures) -> Scores:
        """Computes the merged and post-processed scores of one image, RGB in 0..255."""
        if self.refinement is None:
            return super().scores(image_3HW, text)
        view_features: list[ImageFeatures] = []

        def first(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
            view_features.append(self.encoder.encode_image(views_V3HW))
            return view_features[-1], self.segment(view_features[-1], text)

        scores = merged_scores(image_3HW, text, first, self.inference)
        new_text = self.refine_text(image_3HW, scores, text)
        if new_text is not text:
            features_iter = iter(view_features)

            def second(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
                features = next(features_iter)  # views have the same order in both passes
                return features, self.segment(features, new_text)

            scores = merged_scores(image_3HW, new_text, second, self.inference)
        return self.post_processed(scores, image_3HW)

    @torch.no_grad()
    def refine_text(self, image_3HW: Tensor, scores: Scores, text: TextFeatures) -> TextFeatures:
        """Replaces the visual prompts of the categories that `scores` detect in the image.

        Args:
            image_3HW: the image, RGB in 0..255.
            scores: scores of the first pass.
            text: text features of the first pass.

        Returns:
            New text features, or `text` itself if nothing changes.
        """
        refinement = self.refinement or Refinement()
        size = (image_3HW.shape[1], image_3HW.shape[2])
        regions = refinement.regions(label_map(scores, size)[0])
        if not regions or refinement.alpha == 0:
            return text
        plain, visual = self._split(text)
        embeds_NC, levels = refinement.prompts(regions, image_3HW, scores.features, self._frozen())
        categories = [region.category for region in regions]
        levels = levels if visual.levels else ()
        visual = replace_prompts(visual, categories, embeds_NC, levels, refinement.alpha)
        if isinstance(self.encoder, DualPromptEncoder):
            return self.encoder.mix(plain, visual)
        return dual_prompts(plain, visual)

    def _split(self, text: TextFeatures) -> tuple[TextFeatures, VisualPrompts]:
        """Text features T and visual prompts of the first pass."""
        if isinstance(self.encoder, DualPromptEncoder):
            if text.vocabulary is None:
                raise ValueError(
                    "DPSegmentor expects class names for its second pass, but the text features "
                    "have none. Set TextFeatures.vocabulary."
                )
            vocabulary = text.vocabulary
            return self.encoder.text(vocabulary), self.encoder.visual(vocabulary)
        found_T = torch.ones(text.num_categories, dtype=torch.bool, device=text.device)
        return text, VisualPrompts(text.embeds_TPC, text.levels, found_T)

    def _frozen(self) -> FrozenEncoder:
        """Encoder of the crops."""
        if isinstance(self.encoder, DualPromptEncoder):
            return self.encoder.frozen
        return FrozenEncoder(self.encoder)
