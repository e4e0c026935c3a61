"""OpenSeg-like: grounding without pixels' categories, and masks that compete."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.openseg_like import Grounding, PooledQueryProposer
from ovss_plugins.openseg_like.loss import grounded

from ovss.decoders import ComposeDecoder
from ovss.heads import RegionHead
from ovss.structures import ImageFeatures, Selection, TextFeatures


@pytest.fixture
def parts():
    torch.manual_seed(0)
    levels = (torch.randn(3, 6, 8, 8), torch.randn(3, 5, 4, 4))
    image = ImageFeatures(torch.randn(3, 8, 4, 4), torch.randn(3, 8), levels)
    proposer = PooledQueryProposer(8, (6, 5), dim=16, queries=5, layers=2, heads=2, feedforward=32)
    head = RegionHead(8, scales=(100.0,), void="none")
    text = TextFeatures(F.normalize(torch.randn(4, 1, 8), dim=-1))
    return image, proposer, head, text


def masks_of(parts):
    from dataclasses import replace

    image, proposer, head, text = parts
    image = replace(image, proposals=proposer(image, torch.zeros(3, 3, 64, 64)))
    aligned = head.train()(image, text, Selection.everything(3, 4))
    return ComposeDecoder(ownership="softmax").train()(aligned)


def test_losses_and_gradients(parts):
    masks = masks_of(parts)
    labels = torch.randint(-1, 4, (3, 16, 16))
    labels[2] = -1
    losses = Grounding(drop=0.0)(masks, labels)
    assert set(losses) == {"loss_image", "loss_text", "loss_mask"}
    sum(losses.values()).backward()
    assert [name for name, p in parts[1].named_parameters() if p.grad is None] == []


def test_contrast_by_the_formula(parts):
    masks = masks_of(parts)
    labels = torch.tensor([0, 1, 1]).view(3, 1, 1).repeat(1, 8, 8)
    labels[2, :4] = 3
    cosine = masks.aligned.logits_BKQ.detach() / 100
    fit = (cosine.softmax(2) * cosine).sum(2)
    score = torch.stack([fit[:, 0], fit[:, 1], (fit[:, 1] + fit[:, 3]) / 2], dim=1) / 0.07
    losses = Grounding(drop=0.0)(masks, labels)
    own = torch.arange(3)
    torch.testing.assert_close(losses["loss_image"].detach(), F.cross_entropy(score, own) / 2)
    torch.testing.assert_close(losses["loss_text"].detach(), F.cross_entropy(score.T, own) / 2)


def test_words_of_an_image_are_never_all_left_out():
    words = torch.eye(4, dtype=torch.bool)
    assert torch.equal(Grounding(drop=1.0)._thinned(words), words)
    assert grounded(torch.ones(2, 4), words).shape == (2, 4)


def test_mask_term_is_the_best_dice(parts):
    masks = masks_of(parts)
    labels = torch.zeros(3, 8, 8, dtype=torch.long)
    labels[:, :4] = 2
    loss = Grounding(drop=0.0)(masks, labels)["loss_mask"].detach()
    prob = masks.mask_BQhw.detach().sigmoid()
    expected = []
    for image in range(3):
        for label in (0, 2):
            target = (labels[image] == label).float()
            both = (prob[image] * target).sum((1, 2))
            dice = (2 * both + 1) / (prob[image].sum((1, 2)) + target.sum() + 1)
            expected.append(1 - dice.max())
    torch.testing.assert_close(loss, torch.stack(expected).mean())
