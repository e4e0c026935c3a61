"""One of each component, put together: `segment` is the figure, the rest is around it."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor, nn

from .compatibility import check_dimensions
from .inference import InferenceConfig, label_map, merged_scores
from .registry import (
    DECODERS,
    ENCODERS,
    HEADS,
    LOSSES,
    POSTPROCESSORS,
    SELECTORS,
    check_arguments,
)
from .structures import IGNORE, ImageFeatures, Masks, Scores, TextFeatures, Vocabulary
from .vocabularies.prompts import PromptConfig


@MODELS.register_module()
class OpenVocabSegmentor(BaseModel):
    """An open-vocabulary segmentation method, composed of interchangeable components.

    The vocabulary is never frozen in: it comes with each call, or with the samples of a data set.

    Args:
        encoder, selector, head, decoder, post_processor: configs of (or ready) components.
        criterion: ``dict(type="bce", ...)``, one of `ovss.losses` or of a plugin.
        prompts: ``dict(templates=..., synonyms=...)``: how names become prompts; ``templates`` is a
            registered name or the templates themselves.
        inference: arguments of `ovss.inference.InferenceConfig`.
        data_preprocessor, init_cfg: as in any mmengine model.

    Raises:
        ValueError: if the components' declared dimensions do not fit together.
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
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.encoder = ENCODERS.build(encoder)
        self.selector = SELECTORS.build(selector or {"type": "KeepAll"})
        self.head = HEADS.build(head)
        self.decoder = DECODERS.build(decoder)
        self.post_processor = POSTPROCESSORS.build(post_processor or {"type": "Identity"})
        self.criterion = LOSSES.build(criterion or {"type": "bce"})
        check_arguments(PromptConfig, dict(prompts or {}))
        self.prompts = PromptConfig(**(prompts or {}))
        check_arguments(InferenceConfig, dict(inference or {}))
        self.inference = InferenceConfig(**(inference or {}))
        check_dimensions(
            *(self.encoder, self.head, self.decoder),
            *(self.post_processor, self.prompts, self.inference),
        )

    # -- the figure ------------------------------------------------------------------------------

    def segment(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Masks:
        """Select categories, align image and text, decode masks.

        It starts from features, so that a second pass re-decodes without re-encoding.
        """
        selection = self.selector(image, text, keep_BT)
        aligned = self.head(image, text, selection)
        return self.decoder(aligned)

    # -- words -----------------------------------------------------------------------------------

    def vocabulary(self, names: tuple[str, ...]) -> Vocabulary:
        """T names with this method's prompts."""
        from .vocabularies import load_templates

        templates = load_templates(self.prompts.templates)
        return Vocabulary(tuple(names), templates, self.prompts.synonyms)

    def encode_vocabulary(self, names: tuple[str, ...]) -> TextFeatures:
        """Text features of T names; cached by the encoder unless its text tower trains."""
        return self.encoder.encode_text(self.vocabulary(names))

    # -- pictures --------------------------------------------------------------------------------

    @torch.no_grad()
    def scores(self, image_3HW: Tensor, text: TextFeatures) -> Scores:
        """Merged and post-processed scores of one picture, RGB in 0..255."""

        def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
            features = self.encoder.encode_image(views_V3HW)
            return features, self.segment(features, text)

        return self.post_processor(merged_scores(image_3HW, text, segment, self.inference))

    def label_map(self, scores: Scores, size: tuple[int, int]) -> Tensor:
        """(H, W) indices into the vocabulary at `size`, of scores of one picture."""
        return label_map(scores, size)[0]

    # -- mmengine --------------------------------------------------------------------------------

    def forward(
        self, inputs: Tensor | list[Tensor], data_samples: list | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list | tuple[Any, ...]:
        """As mmengine's runner calls it.

        Args:
            inputs: (B, 3, H, W), or a list of (3, H, W) for ``"predict"``; RGB in 0..255.
            data_samples: B samples; their metainfo holds ``vocabulary``, a tuple of T names;
                ``gt_sem_seg`` in ``"loss"`` mode holds categories in T, or IGNORE.
            mode: ``"loss"`` -> dict of scalars; ``"predict"`` -> the samples with ``pred_sem_seg``;
                ``"tensor"`` -> (logits_BKHW, index_BK, valid_BK).
        """
        if not data_samples:
            raise ValueError("data samples carry the vocabulary: pass one for each image")
        text = self.encode_vocabulary(common_vocabulary(data_samples))
        if mode == "predict":
            return [
                self._predict(image_3HW, sample, text)
                for image_3HW, sample in zip(inputs, data_samples, strict=True)
            ]
        image_B3HW = inputs if isinstance(inputs, Tensor) else torch.stack(inputs)
        image = self.encoder.encode_image(image_B3HW)
        if mode == "loss":
            labels_BHW = torch.stack([s.gt_sem_seg.data[0] for s in data_samples]).long()
            keep_BT = present_categories(labels_BHW, len(text.embeds_TPC))
            return self.criterion(self.segment(image, text, keep_BT), labels_BHW)
        if mode == "tensor":
            masks = self.segment(image, text)
            return masks.logits_BKHW, masks.selection.index_BK, masks.selection.valid_BK
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def _predict(self, image_3HW: Tensor, sample: Any, text: TextFeatures) -> Any:
        size = sample.metainfo.get("ori_shape", image_3HW.shape[-2:])
        labels_HW = self.label_map(self.scores(image_3HW, text), (size[0], size[1]))
        sample.set_data({"pred_sem_seg": PixelData(data=labels_HW[None])})
        return sample


def common_vocabulary(data_samples: list) -> tuple[str, ...]:
    """The one vocabulary of a batch.

    Raises:
        ValueError: a sample has none, or samples of different vocabularies share the batch.
    """
    found = {tuple(sample.metainfo.get("vocabulary", ())) for sample in data_samples}
    if len(found) != 1 or () in found:
        sizes = sorted(len(names) for names in found)
        raise ValueError(
            "the samples of a batch must share one vocabulary in their metainfo; found "
            f"{len(found)} of {sizes} names. Give the data set a `vocabulary`"
        )
    return found.pop()


def present_categories(labels_BHW: Tensor, num_categories: int) -> Tensor:
    """(B, T), True where a category occurs.

    Raises:
        ValueError: a label is outside the vocabulary.
    """
    low, high = int(labels_BHW.min()), int(labels_BHW.max())
    if low < IGNORE or high >= num_categories:
        raise ValueError(
            f"labels must be 0..{num_categories - 1} or {IGNORE} (ignored) for a vocabulary of "
            f"{num_categories} names, got {low}..{high}"
        )
    keep_BT1 = labels_BHW.new_zeros(len(labels_BHW), num_categories + 1, dtype=torch.bool)
    slot_BM = torch.where(labels_BHW == IGNORE, num_categories, labels_BHW).flatten(1)
    return keep_BT1.scatter_(1, slot_BM, True)[:, :-1]
