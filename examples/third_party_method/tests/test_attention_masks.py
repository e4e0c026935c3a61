"""Runs the suite for plugins and tests the decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ovss_attention_masks import AttentionToMaskDecoder

from ovss import Alignment, ImageFeatures, Selection, TextFeatures
from ovss.testing import check_plugin


def test_plugin():
    check_plugin("ovss_attention_masks")


def aligned(categories: int) -> Alignment:
    torch.manual_seed(0)
    image = ImageFeatures(torch.randn(2, 8, 3, 4), torch.randn(2, 8))
    text = TextFeatures(torch.randn(5, 1, 8)[:categories])
    cost_BKDhw = torch.zeros(2, categories, 1, 3, 4)
    return Alignment(cost_BKDhw, image, text, Selection.everything(2, categories))


def test_a_mask_does_not_depend_on_the_other_categories():
    decoder = AttentionToMaskDecoder(joint_dim=8, dim=16, heads=4).eval()
    all_BKHW, some_BKHW = decoder(aligned(5)).logits_BKHW, decoder(aligned(2)).logits_BKHW
    torch.testing.assert_close(all_BKHW[:, :2], some_BKHW)


def test_every_layer_but_the_last_gives_auxiliary_masks():
    masks = AttentionToMaskDecoder(joint_dim=8, dim=16, layers=3, heads=4)(aligned(5))
    assert masks.logits_BKHW.shape == (2, 5, 6, 8)
    assert [tuple(aux.shape) for aux in masks.aux] == [(2, 5, 3, 4)] * 2


def test_queries_depend_on_the_image_embedding():
    """Checks the relationship descriptor with two image embeddings over the same cells."""
    decoder, one = AttentionToMaskDecoder(joint_dim=8, dim=16, heads=4).eval(), aligned(3)
    image = ImageFeatures(one.features.dense_BChw, -one.features.pooled_BC)
    other = replace(one, features=image)
    assert not torch.allclose(decoder(one).logits_BKHW, decoder(other).logits_BKHW)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="heads that divide dim"):
        AttentionToMaskDecoder(joint_dim=8, dim=10, heads=4)
