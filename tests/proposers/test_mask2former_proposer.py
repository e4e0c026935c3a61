"""Proposer of Mask2Former inside a small encoder: laws, training, padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ovss.models.build import build_model
from ovss.proposers import Mask2FormerProposer
from ovss.structures import Padding
from ovss.testing import LAWS, loss_and_prediction_work, make_images

SIZES = dict(level_dims=(6, 8, 10), joint_dim=16, queries=7, dim=16, heads=2, groups=4, layers=3,
             pixel_layers=2, pixel_feedforward=24, points=2, feedforward=32)  # fmt: skip
TINY = dict(type="TinyEncoder", level_dims=(6, 8, 10), level_scales=(4, 2, 1))


def query_model(**proposer):
    torch.manual_seed(0)
    return build_model(
        dict(
            encoder=dict(
                type="WithProposals",
                encoder=TINY,
                proposer=dict(type="Mask2FormerProposer", **(SIZES | proposer)),
            ),
            head=dict(type="RegionHead", joint_dim=16, scales=(1 / 0.07,), learn_scale=True),
            decoder=dict(type="ComposeDecoder"),
            inference=dict(activation="none"),
            prompts=dict(synonyms="max"),
        )
    ).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law):
    law(query_model())


@pytest.mark.parametrize("embedding", ["pooled", "query"])
def test_training_and_prediction(embedding):
    model = query_model(class_embedding=embedding, class_hidden=(12,))
    loss_and_prediction_work(model)
    proposals = model.train().encoder.encode_image(make_images(2)).proposals
    assert proposals.mask_BQhw.shape == (2, 7, 24, 24)
    assert proposals.embed_BQSC.shape == (2, 7, 1, 16)
    assert len(proposals.earlier) == 3
    assert not model.eval().encoder.encode_image(make_images(2)).proposals.earlier


def test_training_moves_every_parameter():
    model = query_model().train()
    proposals = model.encoder.encode_image(make_images(1)).proposals
    layers = (*proposals.earlier, proposals)
    sum(x.mask_BQhw.square().mean() + x.embed_BQSC.square().mean() for x in layers).backward()
    for name, parameter in model.encoder.proposer.named_parameters():
        assert parameter.grad is not None, name


def test_masks_may_be_finer_than_the_first_level():
    proposals = query_model(mask_scale=2).encoder.encode_image(make_images(1)).proposals
    assert proposals.mask_BQhw.shape == (1, 7, 48, 48)


def test_padding_is_handed_on():
    model = query_model()
    padding = Padding((96, 96), (90, 96))
    features = replace(model.encoder.encoder.encode_image(make_images(1)), padding=padding)
    proposals = model.encoder.proposer.train()(features, make_images(1))
    assert proposals.padding == padding
    assert {each.padding for each in proposals.earlier} == {padding}


def test_mixed_precision():
    model = query_model().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        proposals = model.encoder.encode_image(make_images(1)).proposals
    assert proposals.mask_BQhw.isfinite().all()


def test_levels_of_another_encoder_are_refused():
    with pytest.raises(ValueError, match=r"level_dims=\(6, 8\).*level_dims=\(6, 8, 10\)"):
        query_model(level_dims=(6, 8))
    with pytest.raises(ValueError, match=r"class_embedding must be one of .*'mean'"):
        Mask2FormerProposer(**SIZES, class_embedding="mean")
