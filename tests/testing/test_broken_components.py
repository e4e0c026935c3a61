"""Deliberately broken components: the law that catches each, and the component it names."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from ovss.interfaces import AlignmentHead, Decoder, PostProcessor, Selector
from ovss.models.configs import load_config
from ovss.ops import cosine_volume
from ovss.postprocessors import Chain, Identity
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Alignment, Masks, Selection
from ovss.testing import (
    LawError,
    batch_mates_do_not_talk,
    ground_truth_survives_training,
    keeping_everything_equals_not_selecting,
    labels_have_no_influence_at_inference,
    loss_and_prediction_work,
    more_than_255_categories_work,
    one_category_works,
    padding_changes_nothing,
    post_processing_keeps_what_is_certain,
    prediction_has_the_size_asked_for,
    vocabulary_order_is_irrelevant,
    with_tiny_encoder,
)


class Mean(Decoder):
    """Logits are the mean of the volume."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, aligned):
        return Masks(self.changed(aligned.cost_BKDhw.mean(2), aligned), aligned.selection)

    def changed(self, logits_BKhw, aligned):
        return logits_BKhw * self.scale


class CountsSlots(Mean):
    def changed(self, logits_BKhw, aligned):
        return logits_BKhw + torch.arange(logits_BKhw.shape[1])[:, None, None]


class CentresBatch(Mean):
    def changed(self, logits_BKhw, aligned):
        return logits_BKhw - logits_BKhw.mean(0)


class CountsPadding(Mean):
    def changed(self, logits_BKhw, aligned):
        return logits_BKhw - logits_BKhw.mean(1, keepdim=True)


class LiftsUnselected(Mean):
    """`Selection.everything` expands one row, which has a stride of 0."""

    def changed(self, logits_BKhw, aligned):
        return logits_BKhw + float(aligned.selection.index_BK.stride(0) == 0)


class Standardises(Mean):
    """One category deviates from its mean by nothing."""

    def changed(self, logits_BKhw, aligned):
        spread_B1hw = (logits_BKhw - logits_BKhw.mean(1, keepdim=True)).abs().amax(1, keepdim=True)
        return logits_BKhw / spread_B1hw


class NeedsTwo(Mean):
    def changed(self, logits_BKhw, aligned):
        return logits_BKhw - logits_BKhw.topk(2, dim=1).values[:, 1:]


class TakesFirstImage(Mean):
    def forward(self, aligned):
        return Masks(aligned.cost_BKDhw.mean(2)[:1], aligned.selection)


class Explodes(Mean):
    def changed(self, logits_BKhw, aligned):
        return logits_BKhw / 0 if self.training else logits_BKhw


class RootOfZero(Mean):
    """Finite, unlike its gradient."""

    def changed(self, logits_BKhw, aligned):
        return logits_BKhw + (0 * self.scale).sqrt()


class Narrows(Mean):
    """Rejects categories in training as at inference."""

    def forward(self, aligned):
        logits_BKhw = aligned.cost_BKDhw.mean(2)
        best_B1 = logits_BKhw.amax((2, 3)).argmax(1, keepdim=True)
        keep_BK = torch.zeros(logits_BKhw.shape[:2], dtype=torch.bool).scatter(1, best_B1, True)
        narrow, slot_BK = aligned.selection.narrow(keep_BK)
        return Masks(logits_BKhw.gather(1, slot_BK[:, :, None, None].expand(
            -1, -1, *logits_BKhw.shape[2:])), narrow)  # fmt: skip


class ShiftingHead(AlignmentHead):
    def __init__(self) -> None:
        super().__init__()
        self.cost_dim = 1

    def forward(self, image, text, selection):
        text_BKPC = selection.gather(text.embeds_TPC)
        cost_BKDhw = cosine_volume(image.dense_BChw, text_BKPC).mean(2, keepdim=True)
        return Alignment(cost_BKDhw.roll(1, dims=1), image, text, selection)


class DropsTruth(Selector):
    def forward(self, image, text, keep_BT=None):
        keep_T = torch.arange(len(text.embeds_TPC)) < 5
        return Selection.from_mask(keep_T.expand(len(image.dense_BChw), -1))


class Remembers(Selector):
    """Keeps in later calls what the labels of an earlier one showed."""

    kept_BT = None

    def forward(self, image, text, keep_BT=None):
        mask_BT = torch.zeros(len(image.dense_BChw), len(text.embeds_TPC), dtype=torch.bool)
        mask_BT[:, :5] = True
        self.kept_BT = keep_BT if keep_BT is not None else self.kept_BT
        if self.kept_BT is not None and self.kept_BT.shape == mask_BT.shape:
            mask_BT |= self.kept_BT
        return Selection.from_mask(mask_BT)


class AsksBatchMates(Selector):
    def forward(self, image, text, keep_BT=None):
        score_BT = (image.pooled_BC @ text.embeds_TPC.mean(1).T).mean(0, keepdim=True)
        return Selection.top_k(score_BT.expand(len(image.pooled_BC), -1), 2, keep_BT)


class RollsMaps(PostProcessor):
    def forward(self, scores):
        return replace(scores, probs_BKHW=scores.probs_BKHW.roll(1, dims=1))


class RollsLabels(PostProcessor):
    """Consistent: a permuted vocabulary is rolled, too."""

    def forward(self, scores):
        old = scores.selection
        mask_BT = torch.ones(old.batch, old.num_categories, dtype=torch.bool)
        probs_BTHW = old.scatter(scores.probs_BKHW).roll(1, dims=1)
        return replace(scores, probs_BKHW=probs_BTHW, selection=Selection.from_mask(mask_BT))


class FavoursFirst(PostProcessor):
    def forward(self, scores):
        probs_BKHW = scores.probs_BKHW.clone()
        probs_BKHW[:, 0] += 0.5
        return replace(scores, probs_BKHW=probs_BKHW)


class SharesBatch(PostProcessor):
    def forward(self, scores):
        return replace(scores, probs_BKHW=scores.probs_BKHW - scores.probs_BKHW.mean(0))


class EightBits(PostProcessor):
    def forward(self, scores):
        old = scores.selection
        index_BK = old.index_BK.to(torch.uint8).long()
        return replace(scores, selection=Selection(index_BK, old.valid_BK, old.num_categories))


class Transposes(OpenVocabSegmentor):
    def label_map(self, scores, size):
        return super().label_map(scores, size).T


class Peeks(OpenVocabSegmentor):
    def _predict(self, image_3HW, sample, text):
        out = super()._predict(image_3HW, sample, text)
        if "gt_sem_seg" in sample and (sample.gt_sem_seg.data == 3).all():
            out.pred_sem_seg.data = torch.full_like(out.pred_sem_seg.data, 3)
        return out


class SecondPass(OpenVocabSegmentor):
    """Its own flow, not one of its components, favours the first category."""

    def scores(self, image_3HW, text):
        return FavoursFirst()(super().scores(image_3HW, text))


class NotANumber(nn.Module):
    def forward(self, masks, labels_BHW):
        return {"loss_mask": masks.logits_BKHW.sum() * float("nan")}


@pytest.fixture(scope="module")
def sound() -> OpenVocabSegmentor:
    model = with_tiny_encoder(load_config("maskclip_mini"))
    model.decoder = Mean()
    return model


CASES = [
    (vocabulary_order_is_irrelevant, "decoder", CountsSlots, r"logits before and after .* differ"),
    (vocabulary_order_is_irrelevant, "head", ShiftingHead, r"cost volumes .* differ by \d"),
    (vocabulary_order_is_irrelevant, "post_processor", FavoursFirst, r"scores .* up to 0\.5 at"),
    (vocabulary_order_is_irrelevant, "segmentor", SecondPass, r"scores .* differ by up to 0\.5 at"),
    (batch_mates_do_not_talk, "decoder", CentresBatch, "logits of image 0 in a batch of 3"),
    (batch_mates_do_not_talk, "decoder", TakesFirstImage, "expected maps of 3 images, but got 1"),
    (batch_mates_do_not_talk, "selector", AsksBatchMates, "the categories kept of image"),
    (batch_mates_do_not_talk, "post_processor", SharesBatch, r"scores of image 0 .* at \d+"),
    (padding_changes_nothing, "decoder", CountsPadding, "logits of image 0 with and without"),
    (keeping_everything_equals_not_selecting, "decoder", LiftsUnselected, "differ by 1 of their"),
    (one_category_works, "decoder", Standardises, "of logits are not finite"),
    (one_category_works, "decoder", NeedsTwo, "RuntimeError: selected index k out of range"),
    (more_than_255_categories_work, "post_processor", EightBits, "category 2"),
    (prediction_has_the_size_asked_for, "segmentor", Transposes, r"size \(120, 97\), expected"),
    (post_processing_keeps_what_is_certain, "post_processor", RollsMaps, "keeps 0%"),
    (post_processing_keeps_what_is_certain, "post_processor", RollsLabels, "become category 8"),
    (ground_truth_survives_training, "selector", DropsTruth, r"3 of 3 .* dropped in training"),
    (ground_truth_survives_training, "selector", Remembers, "changed after a training step"),
    (ground_truth_survives_training, "decoder", Narrows, r"3 of 3 .* dropped in training"),
    (labels_have_no_influence_at_inference, "segmentor", Peeks, r"differ at \d+\.\d%"),
    (loss_and_prediction_work, "decoder", Explodes, "logits are not finite"),
    (loss_and_prediction_work, "decoder", RootOfZero, "gradient of the parameter decoder.scale"),
    (loss_and_prediction_work, "criterion", NotANumber, "the loss is nan"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("law", "part", "cls", "difference"),
    CASES,
    ids=[f"{law.__name__}-{cls.__name__}" for law, _, cls, _ in CASES],
)
def test_a_broken_component_is_named(sound, law, part, cls, difference):
    law(sound)
    model = with_part(sound, part, cls)
    with pytest.raises(LawError) as caught:
        law(model)
    role = part.replace("_", "-")
    expected = rf"^{law.__name__} fails in the {role} {cls.__name__}: .*{difference}"
    caught.match(expected)


def with_part(sound: OpenVocabSegmentor, part: str, cls: type) -> OpenVocabSegmentor:
    """The sound model with one part replaced."""
    model = copy.deepcopy(sound)
    if part == "segmentor":
        model.__class__ = cls
    else:
        setattr(model, part, cls())
    return model.eval()


def test_components_inside_a_component_are_named(sound):
    model = copy.deepcopy(sound)
    model.post_processor = Chain([])
    model.post_processor.steps = nn.ModuleList([Identity(), RollsMaps()])
    with pytest.raises(LawError, match=r"post-processor Chain \(Identity, RollsMaps\): category"):
        post_processing_keeps_what_is_certain(model)


def test_a_law_leaves_the_model_in_evaluation_mode(sound):
    model = with_part(sound, "selector", DropsTruth)
    with pytest.raises(LawError):
        ground_truth_survives_training(model)
    assert not any(module.training for module in model.modules())
