"""The SAN encoder at mini scale: laws, CLIP's own outputs, options and training."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.san import SANEncoder

from ovss.encoders import OpenCLIPEncoder
from ovss.models.build import build_model
from ovss.structures import Padding
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_sample

SMALL = dict(
    model="mini_clip",
    pretrained="mini_clip",
    clip_scale=1.0,
    split=4,
    fusion=((0, 0), (2, 1), (4, 2)),
    queries=5,
    width=24,
    depth=3,
    heads=4,
    patch=8,
    grid=12,
    mask_dim=16,
    supervised=(2, 3),
    text_cache="memory",
)
PARTS = dict(
    head=dict(type="RegionHead", joint_dim=128),
    decoder=dict(type="ComposeDecoder"),
    criterion=dict(type="set_matching", points=256),
    inference=dict(size=96, activation="none"),
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build_model({**PARTS, "encoder": {"type": "SANEncoder", **SMALL}})
    torch.nn.init.normal_(model.encoder.side.queries)
    return model.eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_encoder(model, law):
    law(model)
    model.eval()


@pytest.mark.parametrize(("size", "padded"), [((96, 64), (96, 64)), ((70, 33), (96, 64))])
def test_dense_tokens_and_pooled_embedding_are_clips_own(model, size, padded):
    """On the padded image, because that is what CLIP sees."""
    clip = OpenCLIPEncoder("mini_clip", "mini_clip", dense="vanilla").eval()
    image = make_images(2)[:, :, : size[0], : size[1]]
    whole = clip.mean_311.expand(2, 3, *padded).clone()  # zero after normalising
    whole[:, :, : size[0], : size[1]] = image
    with torch.inference_mode():
        found, expected = model.encoder.encode_image(image), clip.encode_image(whole)
    assert found.padding == found.proposals.padding == Padding(padded, size)
    assert torch.allclose(found.dense_BChw, expected.dense_BChw, atol=1e-5)
    assert torch.allclose(found.pooled_BC, expected.pooled_BC, atol=1e-5)


def test_only_the_adapter_and_the_positions_of_clip_train(model):
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    of_clip = {name for name in trained if ".clip." in name}
    assert of_clip == {"encoder.clip.visual.positional_embedding"}
    own = {
        n for n, _ in model.named_parameters() if n.startswith(("encoder.side", "encoder.masks"))
    }
    assert trained == {*own, *of_clip, "head.void"}
    fixed = SANEncoder(**{**SMALL, "train_positions": False})
    assert not any(p.requires_grad for p in fixed.clip.parameters())


def test_every_trained_parameter_gets_a_gradient(model):
    losses = model.train()(make_images(2), [make_sample(3), make_sample(3)], mode="loss")
    assert set(losses) == {f"loss_{k}{i}" for k in ("class", "mask", "dice") for i in ("", "_0")}
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    zero = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.any()]
    model.zero_grad()
    model.eval()
    assert without == []
    assert zero == []


def test_gradient_checkpointing_names_modules_that_exist(model):
    names = [name for name, _ in model.encoder.named_modules()]
    assert "side.blocks.2" in names
    assert "clip.visual.transformer.resblocks.0.mlp" in names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(split=6), "split must be between 1 and 5, got 6"),
        (dict(fusion=((0, 0), (5, 1))), "only 0 to 4, those up to `split`"),
        (dict(fusion=((0, 1), (4, 1))), "different blocks from 0 to 3"),
        (dict(fusion=((0, 0), (4, 4))), "different blocks from 0 to 3"),
        (dict(supervised=(3, 2)), "blocks from 1 to 3 in ascending order"),
        (dict(supervised=()), "blocks from 1 to 3 in ascending order"),
        (dict(supervised=(3, 4)), "blocks from 1 to 3 in ascending order"),
        (dict(divisor=12), "whole patches of 8 pixels"),
        (dict(clip_scale=0.2), "at least CLIP's patch of 8 pixels"),
        (dict(clip_scale=-1.0), "at least CLIP's patch of 8 pixels"),
        (dict(queries=0), "queries must be at least 1"),
        (dict(width=25), "divisible by its number of heads"),
        (dict(model="RN50", pretrained=None), "ResNet"),
    ],
)
def test_options_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SANEncoder(**{**SMALL, **changes})


def test_images_must_have_three_channels(model):
    with pytest.raises(ValueError, match=r"RGB images \(B, 3, H, W\), got \(1, 1, 8, 8\)"):
        model.encoder.encode_image(torch.zeros(1, 1, 8, 8))
