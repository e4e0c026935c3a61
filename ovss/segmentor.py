"""The model: one component of each kind, composed.

`OpenVocabSegmentor.segment` is the whole method in three lines: select categories, compare them
with the image, decode masks. Everything else in this file connects these lines to a vocabulary, to
images of any size, and to mmengine. The records that flow between the components are described in
`ovss.structures`, the components in `ovss.interfaces`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor, nn

from ovss.io.finite import finite_together
from ovss.kernels.portions import Portions

from .compatibility import check_dimensions
from .inference import InferenceConfig, Stages, dense_scores, label_map, merged_scores
from .interfaces import Decoder, Encoder, SplicedEncoder
from .io.excerpts import excerpt
from .layers.splice import spliced_features, window_features
from .proposers.current import current_samples
from .registry import (
    DECODERS,
    ENCODERS,
    HEADS,
    LOSSES,
    POSTPROCESSORS,
    SELECTORS,
    check_arguments,
)
from .runner_model import RunnerModel
from .selection import present_labels
from .structures import (
    IGNORE,
    Alignment,
    ImageFeatures,
    Masks,
    Padding,
    RegionMasks,
    RegionScores,
    Scores,
    TextFeatures,
    Vocabulary,
)
from .vocabularies.prompts import PromptConfig


class NonFiniteError(FloatingPointError):
    """Scores of an image that are NaN or infinite."""


@MODELS.register_module()
class OpenVocabSegmentor(RunnerModel):
    """Open-vocabulary segmentation model, composed of interchangeable components.

    The vocabulary is not part of the model. It is an argument of each call, or comes from the data
    samples in training and evaluation, so the same model segments any set of categories.

    Args:
        encoder: config of an `Encoder`, such as ``dict(type="OpenCLIPEncoder", ...)``. A component
            instance also works, here and for all components below.
        head: config of an `AlignmentHead`.
        decoder: config of a `Decoder`.
        selector: config of a `Selector`; None keeps every category.
        post_processor: config of a `PostProcessor`; None leaves the scores unchanged.
        criterion: config of a `Criterion`; None means binary cross-entropy, ``dict(type="bce")``,
            or ``dict(type="set_matching")`` for a decoder of regions.
        prompts: arguments of `ovss.vocabularies.prompts.PromptConfig`. They set the prompt
            templates, by registered name or as a list, and the use of synonyms.
        inference: arguments of `ovss.inference.InferenceConfig`.
        data_preprocessor: see `ovss.runner_model.RunnerModel`.
        init_cfg: see `ovss.runner_model.RunnerModel`.

    Raises:
        KeyError: an unknown component name.
        TypeError: an unknown or missing argument of a component.
        ValueError: components whose declared dimensions do not fit together.
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
        self.criterion = LOSSES.build(criterion or default_criterion(self.decoder))
        check_arguments(PromptConfig, dict(prompts or {}))
        self.prompts = PromptConfig(**(prompts or {}))
        check_arguments(InferenceConfig, dict(inference or {}))
        self.inference = InferenceConfig(**(inference or {}))
        self.views = Portions(f"views_of_{count_of_parameters(self.encoder)}_parameters")
        check_dimensions(
            encoder=self.encoder,
            head=self.head,
            decoder=self.decoder,
            post_processor=self.post_processor,
            prompts=self.prompts,
            inference=self.inference,
            criterion=self.criterion,
        )

    # -- the method ------------------------------------------------------------------------------

    def segment(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Masks | RegionMasks:
        """Segments images whose features are already computed.

        Starting from features lets a second pass decode other categories of the same image without
        encoding the image again.

        Args:
            image: features of B images.
            text: features of the vocabulary.
            keep_BT: True for categories that the selector must keep; training only.

        Returns:
            One logit map for each kept category; or, for a method that compares regions, one mask
            for each proposal and the shares of the categories in it.
        """
        selection = self.selector(image, text, keep_BT)
        aligned = self.head(image, text, selection)
        return self.decoder(aligned)

    # -- vocabulary ------------------------------------------------------------------------------

    def vocabulary(self, names: tuple[str, ...]) -> Vocabulary:
        """Combines T category names with the prompt templates of this model."""
        from .vocabularies import load_templates

        templates = load_templates(self.prompts.templates)
        return Vocabulary(tuple(names), templates, self.prompts.synonyms)

    def encode_vocabulary(self, names: tuple[str, ...]) -> TextFeatures:
        """Text features of T category names, computed with the prompt templates of this model."""
        return self.encoder.encode_text(self.vocabulary(names).queries())

    # -- inference -------------------------------------------------------------------------------

    @torch.no_grad()
    def scores(self, image_3HW: Tensor, text: TextFeatures) -> Scores | RegionScores:
        """Segments one image with the configured inference mode.

        Args:
            image_3HW: RGB in 0..255, of any size.
            text: features of the vocabulary.

        Returns:
            Scores of all views, merged and post-processed. With ``synonyms="max"`` they have one
            map for each synonym; `label_map` combines them.

        Raises:
            NonFiniteError: see `post_processed`.
        """

        highest: list[Tensor] = []

        def decode(features: ImageFeatures) -> Masks | RegionMasks:
            masks = self.segment(features, text)
            if isinstance(masks, Masks) and masks.logits_BKHW.numel():
                highest.append(masks.logits_BKHW.amax())
            return masks

        def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks | RegionMasks]:
            with self.views.timed():
                features = self.encoder.encode_image(views_V3HW)
            return features, decode(features)

        stages = stages_of(self.encoder, decode)
        merged = merged_scores(image_3HW, text, segment, self.inference, stages, self.views)
        # a sigmoid makes 1 of an infinite logit, so an overflow does not show in the probabilities
        return self.post_processed(merged, image_3HW, torch.stack(highest) if highest else None)

    def post_processed(
        self, merged: Scores | RegionScores, image_3HW: Tensor, highest_N: Tensor | None = None
    ) -> Scores | RegionScores:
        """Scores of one image after the post-processor, checked to be finite.

        Args:
            merged: scores of all views, merged.
            image_3HW: the image, RGB in 0..255.
            highest_N: highest logits of the views; None: only the scores are checked.

        Raises:
            NonFiniteError: a score or a logit is NaN or infinite. The message names the first stage
                that computes such a value.
        """
        if not self.post_processor.reads_regions:
            merged = dense_scores(merged)
        scores = self.post_processor(merged)
        if finite_together(score_tensors(scores), () if highest_N is None else (highest_N,)):
            return scores
        part, kind = self._first_non_finite(image_3HW, merged.text)
        raise NonFiniteError(
            f"The scores are not finite. The first NaN or infinite values are the {kind} of the "
            f"{part.replace('_', '-')} ({type(getattr(self, part)).__name__}). Check its weights, "
            f"or compute in full precision"
        )

    def _first_non_finite(self, image_3HW: Tensor, text: TextFeatures) -> tuple[str, str]:
        """First component whose output is NaN or infinite, found in a second pass."""
        broken: list[tuple[str, str]] = []

        def check(part: str, kind: str, tensor: Tensor) -> None:
            if not (tensor.isfinite() | tensor.isneginf()).all():  # -inf excludes a category
                broken.append((part, kind))

        def decode(features: ImageFeatures) -> Masks | RegionMasks:
            check("encoder", "image features", features.dense_BChw)
            if features.proposals is not None:
                check("encoder", "masks of the proposals", features.proposals.mask_BQhw)
                check("encoder", "embeddings of the proposals", features.proposals.embed_BQSC)
            aligned = self.head(features, text, self.selector(features, text))
            if isinstance(aligned, Alignment):
                check("head", "cost volume", aligned.cost_BKDhw)
            else:
                check("head", "class logits", aligned.logits_BKQ)
            masks = self.decoder(aligned)
            if isinstance(masks, Masks):
                check("decoder", "masks", masks.logits_BKHW)
            else:
                check("decoder", "masks", masks.mask_BQhw)
                check("decoder", "shares", masks.share_BKQ)
            return masks

        def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks | RegionMasks]:
            features = self.encoder.encode_image(views_V3HW)
            return features, decode(features)

        for part_TPC in text.chunks(512):
            check("encoder", "text embeddings", part_TPC)
        stages = stages_of(self.encoder, decode)
        merged_scores(image_3HW, text, segment, self.inference, stages)
        return next(iter(broken), ("post_processor", "scores"))

    def label_map(self, scores: Scores | RegionScores, size: tuple[int, int]) -> Tensor:
        """Label map (H, W) of one image at `size`: indices into the vocabulary."""
        return scores.text.categories(label_map(scores, size)[0])

    # -- mmengine --------------------------------------------------------------------------------

    def forward(
        self, inputs: Tensor | list[Tensor], data_samples: list | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list | tuple[Any, ...]:
        """Entry point for mmengine's runner.

        Args:
            inputs: RGB images in 0..255, as (B, 3, H, W) or as a list of (3, H, W). Images in a
                list may differ in size in ``"predict"`` mode only.
            data_samples: one sample per image. Its metainfo holds ``vocabulary``, a tuple of T
                category names, which all samples share. In ``"loss"`` mode ``gt_sem_seg`` holds the
                label map: indices into the vocabulary, or `IGNORE`.
            mode: ``"loss"``, ``"predict"`` or ``"tensor"``.

        Returns:
            Losses by name in ``"loss"`` mode; the samples with ``pred_sem_seg`` in ``"predict"``
            mode; (logits_BKHW, index_BK, valid_BK) in ``"tensor"`` mode. For a method that compares
            regions, shares and mask logits (share_BKQ, mask_BQhw, index_BK, valid_BK).

        Raises:
            ValueError: no samples, samples with different vocabularies, labels outside the
                vocabulary, or an unknown mode.
        """
        if not data_samples:
            raise ValueError(
                "OpenVocabSegmentor.forward got no data samples, which hold the vocabulary. "
                "Pass one data sample per image."
            )
        text = self.encode_vocabulary(common_vocabulary(data_samples))
        if mode == "predict":
            return [
                self._predict(image_3HW, sample, text)
                for image_3HW, sample in zip(inputs, data_samples, strict=True)
            ]
        image_B3HW = inputs if isinstance(inputs, Tensor) else torch.stack(inputs)
        with current_samples(data_samples, self.encoder.reads_labels):
            image = self.encoder.encode_image(image_B3HW)
        if mode == "loss":
            labels_BHW = torch.stack([s.gt_sem_seg.data[0] for s in data_samples]).long()
            return self._loss(image, text, labels_BHW)
        if mode == "tensor":
            masks = self.segment(image, text)
            index_BK, valid_BK = masks.selection.index_BK, masks.selection.valid_BK
            if isinstance(masks, RegionMasks):
                return masks.share_BKQ, masks.mask_BQhw, index_BK, valid_BK
            return masks.logits_BKHW, index_BK, valid_BK
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {excerpt(mode)}.")

    def _loss(
        self, image: ImageFeatures, text: TextFeatures, labels_BHW: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a batch whose label maps hold indices of categories."""
        labels_BHW = padded_labels(labels_BHW, image.padding)
        owner_T = text.owner_T
        if owner_T is None:
            keep_BT = present_categories(labels_BHW, len(text))
            return self._losses(image, text, keep_BT, labels_BHW)
        if not self.head.merges_synonyms:
            raise ValueError(
                "synonyms='max' is a rule for inference, where each synonym gets a map of its own. "
                "Train with synonyms='first' or 'average'."
            )
        keep_BT = present_categories(labels_BHW, int(owner_T[-1]) + 1)[:, owner_T]
        first_T = torch.searchsorted(owner_T, torch.arange(int(owner_T[-1]) + 1).to(owner_T))
        named_BHW = torch.where(labels_BHW == IGNORE, IGNORE, first_T[labels_BHW.clamp(min=0)])
        return self._losses(image, text, keep_BT, named_BHW)

    def _losses(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor, labels_BHW: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the criterion, and those of the decoder itself."""
        masks = self.segment(image, text, keep_BT)
        if isinstance(masks, RegionMasks):
            return self.criterion(masks, labels_BHW)
        masks = replace(masks, vocabulary=text.vocabulary)
        return {**self.criterion(masks, labels_BHW), **masks.losses}

    def _predict(self, image_3HW: Tensor, sample: Any, text: TextFeatures) -> Any:
        size = sample.metainfo.get("ori_shape", image_3HW.shape[-2:])
        with current_samples([sample], self.encoder.reads_labels):
            scores = self.scores(image_3HW, text)
        labels_HW = self.label_map(scores, (size[0], size[1]))
        sample.set_data({"pred_sem_seg": PixelData(data=labels_HW[None])})
        return sample


def stages_of(encoder: Encoder, segment: Callable[[ImageFeatures], Masks | RegionMasks]) -> Stages:
    """Stages of a method for ``merge="features"``.

    Args:
        encoder: encoder of the method.
        segment: function from features to masks.
    """
    if isinstance(encoder, SplicedEncoder):
        together = encoder.windows_together
        return Stages(encoder.encode_windows, encoder.join, segment, together)
    levels = len(encoder.level_dims)
    return Stages(
        lambda views_V3HW: window_features(encoder.encode_image(views_V3HW)),
        lambda windows, _: spliced_features(windows, levels),
        segment,
    )


def default_criterion(decoder: Decoder) -> dict[str, str]:
    """Config of the loss that fits a decoder."""
    return {"type": "set_matching" if decoder.gives is RegionMasks else "bce"}


def count_of_parameters(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def score_tensors(scores: Scores | RegionScores) -> tuple[Tensor, ...]:
    """Tensors that hold the scores, which must be finite."""
    if isinstance(scores, RegionScores):
        return scores.share_BKQ, scores.mask_BQhw
    return (scores.probs_BKHW,)


def padded_labels(labels_BHW: Tensor, padding: Padding | None) -> Tensor:
    """Label maps extended with `IGNORE` to the padded input of the encoder."""
    if padding is None:
        return labels_BHW
    height, width = labels_BHW.shape[1:]
    scale = height / padding.image[0], width / padding.image[1]
    top, left = round(padding.start[0] * scale[0]), round(padding.start[1] * scale[1])
    bottom = round(padding.padded[0] * scale[0]) - height - top
    right = round(padding.padded[1] * scale[1]) - width - left
    return F.pad(labels_BHW, (left, right, top, bottom), value=IGNORE)


def common_vocabulary(data_samples: list) -> tuple[str, ...]:
    """Vocabulary that all samples of a batch share.

    Raises:
        ValueError: samples without a vocabulary, or with different ones.
    """
    vocabularies = {tuple(sample.metainfo.get("vocabulary", ())) for sample in data_samples}
    if len(vocabularies) != 1 or () in vocabularies:
        sizes = sorted(len(names) for names in vocabularies)
        raise ValueError(
            "All samples of a batch must share one vocabulary in their metainfo, but this batch "
            f"has {len(vocabularies)} vocabularies of {sizes} names. Set `vocabulary` in the "
            "dataset config."
        )
    return vocabularies.pop()


def present_categories(labels_BHW: Tensor, num_categories: int) -> Tensor:
    """Categories that occur in each label map, as a boolean (B, T).

    Args:
        labels_BHW: label maps with values 0..T - 1 or `IGNORE`.
        num_categories: T.

    Raises:
        ValueError: a label outside the vocabulary.
    """
    low, high = int(labels_BHW.min()), int(labels_BHW.max())
    if low < IGNORE or high >= num_categories:
        raise ValueError(
            f"Labels must be 0..{num_categories - 1} or {IGNORE} (ignored) for a vocabulary of "
            f"{num_categories} names, got {low}..{high}. Check the labels of the dataset against "
            "its vocabulary."
        )
    return present_labels(labels_BHW, num_categories)
