"""LSeg: sizes and names of its three networks, laws at mini scale, slow formulas of its parts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.lseg import LSegEncoder, SpatialBlockDecoder
from ovss_plugins.lseg.convert import convert
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.layers.dpt import FeatureFusion, Reassemble
from ovss.models.build import build_model
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible
from ovss.structures import Selection
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_sample
from ovss.training.optim import NamedRules

DATA = Path(__file__).parents[2] / "parity" / "data"
UNUSED_VISUAL, UNUSED_UNIT = 87_849_216, 1_180_672
"""Image tower of CLIP, which LSeg never runs; residual unit of the coarsest level."""

BLOCK = "scratch.head_block.depthwise.depthwise"
SMALL = dict(
    model="mini_clip",
    pretrained="mini_clip",
    backbone=dict(type="ClipViT", model="mini_clip", pretrained="mini_clip", blocks=(1, 2, 3, 5)),
    level_dims=(8, 8, 8, 8),
    level_scales_of_patches=(2, 1, 0.5, 0.25),
    dim=16,
    text_cache="memory",
)


@cache
def published(name: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, without memory."""
    shapes = json.loads((DATA / f"{name}.json").read_text())["state_dict"]
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "entries", "total", "trained", "unused"),
    [
        ("lseg_vit-l16", 730, 495_136_489, 343_859_176, 2_048 + 1_025_000),
        ("lseg_rn101", 1036, 212_464_961, 61_187_648, 0),
    ],
)
def test_every_name_and_parameter_of_both_sizes(name, entries, total, trained, unused):
    state = published(name)
    conversion = convert(state)
    assert len(state) == entries
    assert set(conversion.source.values()) | set(conversion.dropped) == set(state)
    model = on_meta(load_config(name))
    assert {n: value.shape for n, value in conversion.tensors.items()} == {
        n: value.shape for n, value in model.state_dict().items()
    }
    unused += UNUSED_UNIT
    found = sum(p.numel() for p in model.parameters())
    assert found == total - UNUSED_VISUAL - unused - 1  # and a factor that is a constant
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained - unused


def test_a_checkpoint_of_lightning_with_a_spatial_block():
    state = {f"net.{name}": value for name, value in published("lseg_vit-l16").items()}
    state |= {f"net.{BLOCK}.weight": torch.ones(1, 1, 3, 3), f"net.{BLOCK}.bias": torch.ones(1)}
    conversion = convert(state)
    assert conversion.source["decoder.conv.weight"] == f"net.{BLOCK}.weight"
    assert set(conversion.source.values()) | set(conversion.dropped) == set(state)


def test_unknown_missing_and_other_tensors_are_listed():
    assert "lseg" in convertible()
    state = published("lseg_vit-l16")
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    gone = "pretrained.act_postprocess2.3.bias"
    with pytest.raises(CheckpointError, match=rf"1 names missing: {gone}"):
        convert({name: value for name, value in state.items() if name != gone})
    with pytest.raises(CheckpointError, match=r"scratch\.head1\.weight, found none"):
        convert({"backbone.weight": torch.zeros(1)})


@pytest.fixture(scope="module", params=["none", "bottleneck"])
def model(request):
    torch.manual_seed(0)
    decoder = dict(type="SpatialBlockDecoder", scale=1 / 0.07, block=request.param, depth=2)
    model = build_model(
        dict(
            encoder=dict(type="LSegEncoder", **SMALL),
            head=dict(type="CosineHead"),
            decoder=decoder,
            criterion=dict(type="cross_entropy"),
            inference=dict(size=96, activation="softmax"),
        )
    )
    return model.eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_encoder(model, law):
    law(model)
    model.eval()


def test_dense_tokens_are_twice_as_fine_as_the_first_level(model):
    features = model.encoder.encode_image(make_images(1)[:, :, :64, :90])
    assert features.dense_BChw.shape == (1, 128, 32, 48)  # the image becomes 64 x 96
    assert torch.allclose(features.pooled_BC, features.dense_BChw.mean((2, 3)))


def test_the_text_tower_is_frozen_and_the_rest_trains():
    encoder = LSegEncoder(**SMALL)
    frozen = {n.split(".")[0] for n, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen == {"clip"}
    fixed = LSegEncoder(**SMALL, train_backbone=False)
    trained = {n for n, p in fixed.named_parameters() if p.requires_grad}
    assert trained
    assert not any("backbone" in name for name in trained)


def test_every_trained_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = build_model(
        dict(
            encoder=dict(type="LSegEncoder", **SMALL),
            head=dict(type="CosineHead"),
            decoder=dict(type="SpatialBlockDecoder", scale=14.3, block="depthwise"),
            criterion=dict(type="cross_entropy"),
        )
    )
    losses = model.train()(make_images(2), [make_sample(3), make_sample(3)], mode="loss")
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_reassembling_joins_the_class_token_to_every_patch():
    torch.manual_seed(0)
    layer, tokens = Reassemble(6, 4, 1), torch.randn(2, 1 + 6, 6)
    joined = torch.cat([tokens[:, 1:], tokens[:, :1].expand(-1, 6, -1)], dim=2)
    read = F.gelu(layer.readout(joined)).transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(layer(tokens, (2, 3)), layer.project(read))


@pytest.mark.parametrize(("scale", "side"), [(4, 32), (2, 16), (1, 8), (0.5, 4), (0.25, 2)])
def test_levels_have_their_scale(scale, side):
    found = Reassemble(6, 4, scale)(torch.randn(1, 65, 6), (8, 8))
    assert found.shape == (1, 4, side, side)


def test_fusion_doubles_the_first_level():
    levels = [torch.randn(1, dim, side, side) for dim, side in ((3, 16), (4, 8), (5, 4))]
    assert FeatureFusion((3, 4, 5), 6)(levels).shape == (1, 6, 32, 32)


def test_the_bottleneck_does_not_see_categories_that_are_left_out():
    torch.manual_seed(0)
    decoder = SpatialBlockDecoder(1.0, "bottleneck", depth=2)
    logits = torch.randn(2, 3, 4, 5)
    logits[1, 2] = 100.0  # a padding slot
    keep = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    found = decoder.regularised(logits, Selection.from_mask(keep))
    alone = decoder.regularised(logits[1:, :2], Selection.everything(1, 2))
    torch.testing.assert_close(found[1:, :2], alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(level_dims=None), "level_dims and level_scales_of_patches for a transformer"),
        (dict(level_dims=(8, 8)), "four blocks, level_dims"),
        (dict(level_scales_of_patches=(4, 2, 1, 1)), "halve from one to the next"),
        (dict(level_scales_of_patches=(3, 1.5, 0.75, 0.375)), "a whole number as its scale"),
        (dict(pixel_std=(0, 1, 1)), "standard deviation above 0"),
        (dict(dim=0), "dim must be at least 1"),
        (dict(backbone={**SMALL["backbone"], "blocks": (0, 1, 2, 6)}), "between 0 and 5"),
        (dict(backbone={"type": "ResNet", "depth": 50}), "neither for another backbone"),
        (dict(backbone={"type": "TimmViT", "model": "resnet18", "blocks": (0,)}), "class token"),
        (dict(backbone={"type": "other"}), "Unknown backbone"),
    ],
)
def test_options_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        LSegEncoder(**{**SMALL, **changes})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(scale=0.0), "scale must be above 0"),
        (dict(scale=1.0, block="both"), "block must be one of none, depthwise, bottleneck"),
        (dict(scale=1.0, activation="gelu"), "activation must be one of relu, lrelu, tanh"),
        (dict(scale=1.0, depth=0), "depth must be at least 1"),
    ],
)
def test_options_of_the_decoder_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SpatialBlockDecoder(**options)


def test_everything_but_the_backbone_learns_ten_times_as_fast():
    config = load_config("lseg_rn101")
    wrapper = dict(config.optim_wrapper)
    groups = NamedRules(wrapper, dict(wrapper.pop("paramwise_cfg"))).groups(on_meta(config))
    sizes = {round(g["lr"], 9): sum(p.numel() for p in g["params"]) for g in groups}
    assert sizes == {0.002: 42_500_160, 0.02: 60_006_976 - 42_500_160}
    assert {g["weight_decay"] for g in groups} == {1e-4}
