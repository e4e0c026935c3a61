"""MaskFormer's proposals: padding, layers in training, levels of an encoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.layers.maskformer import DETRLayer, FPNPixelDecoder, QueryDecoder
from ovss.layers.sine_positions import sine_positions
from ovss.proposers import MaskFormerProposer
from ovss.proposers.maskformer import MEAN, STD
from ovss.structures import ImageFeatures
from ovss.testing.tiny import make_images

SMALL = dict(queries=5, dim=32, layers=2, heads=4, hidden=64)
BACKBONE = dict(type="Swin", dim=8, depths=(1, 1, 1, 1), heads=(2, 2, 2, 2), window=4)


def features(levels=(), padding=None) -> ImageFeatures:
    return ImageFeatures(torch.zeros(2, 16, 3, 3), torch.zeros(2, 16), levels, padding=padding)


def small(**options) -> MaskFormerProposer:
    torch.manual_seed(0)
    return MaskFormerProposer(**{"joint_dim": 16, "backbone": BACKBONE, **SMALL, **options})


@torch.no_grad()
def test_images_are_normalised_and_then_padded_with_zeros():
    proposer, image = small().eval(), make_images(2, 90)[:, :, :70]
    found = proposer(features(), image)
    assert (found.padding.padded, found.padding.image) == ((96, 96), (70, 90))
    assert found.mask_BQhw.shape == (2, 5, 24, 24)
    assert found.embed_BQSC.shape == (2, 5, 1, 16)
    assert not found.earlier, "earlier layers are of no use at inference"
    grey = torch.tensor(MEAN).view(3, 1, 1).expand(2, -1, 96, 96).clone()
    grey[:, :, :70, :90] = image  # zero after normalising
    whole = proposer(features(), grey)
    assert torch.allclose(found.mask_BQhw, whole.mask_BQhw, atol=1e-4)
    assert STD[0] == 58.395


def test_every_layer_trains():
    proposer = small(dropout=0.0).train()
    found = proposer(features(), make_images(2, 64))
    assert len(found.earlier) == 1
    loss = found.mask_BQhw.sum() + found.embed_BQSC.square().sum()
    loss = loss + found.earlier[0].mask_BQhw.square().sum()
    loss.backward()
    without = [name for name, p in proposer.named_parameters() if p.grad is None]
    assert not without


def test_masks_alone_and_frozen():
    proposer = small(joint_dim=None, trainable=False).train()
    found = proposer(features(), make_images(2, 64))
    assert proposer.sources == 0
    assert found.embed_BQSC.shape == (2, 5, 0, 16)
    assert not found.earlier
    assert not found.mask_BQhw.requires_grad


def test_levels_of_the_encoder():
    proposer = MaskFormerProposer(16, level_dims=(8, 12), class_hidden=24, **SMALL).eval()
    levels = (torch.randn(2, 8, 12, 12), torch.randn(2, 12, 3, 3))
    assert proposer(features(levels), make_images(2)).mask_BQhw.shape == (2, 5, 12, 12)
    assert proposer.level_dims == (8, 12)


@pytest.mark.parametrize(
    "options", [dict(backbone=None), dict(level_dims=(3, 4)), dict(dim=48), dict(dropout=1.0)]
)
def test_bad_options(options):
    with pytest.raises(ValueError, match="MaskFormerProposer expects"):
        small(**options)


@torch.no_grad()
def test_the_pyramid_enlarges_by_the_nearest_cell():
    decoder = FPNPixelDecoder((8, 12), 32).eval()
    fine, coarse = torch.randn(1, 8, 6, 8), torch.randn(1, 12, 3, 4)
    x = decoder.layers[1](coarse).relu()
    x = decoder.layers[0](
        decoder.adapters[0](fine) + x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    assert torch.allclose(decoder([fine, coarse]), decoder.mask_features(x.relu()), atol=1e-5)


@torch.no_grad()
def test_the_query_decoder_written_out():
    """Post-norm layers; positions in queries and keys, not in values; one norm for all outputs."""
    decoder = QueryDecoder(12, 32, 5, 2, 4, 64, 0.1).eval()
    level = torch.randn(2, 12, 3, 4)
    memory = decoder.project(level)
    place = sine_positions(memory, 32)[None] if memory.ndim == 4 else None
    value = memory.flatten(2).transpose(1, 2)
    key = (memory + place).flatten(2).transpose(1, 2)
    x, own = torch.zeros(2, 5, 32), decoder.places.weight
    outputs = []
    for layer in decoder.layers:
        x = layer.norm1(x + attention(layer.self_attn, x + own, x + own, x))
        x = layer.norm2(x + attention(layer.multihead_attn, x + own, key, value))
        x = layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))
        outputs.append(decoder.norm(x))
    for found, expected in zip(decoder(level, every=True), outputs, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)
    (last,) = decoder(level, every=False)
    assert torch.allclose(last, outputs[-1], atol=1e-5)
    assert isinstance(decoder.layers[0], DETRLayer)


def attention(module: nn.MultiheadAttention, query, key, value):
    """Attention in its plain form."""
    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    query, key, value = (
        F.linear(x, w, b).unflatten(2, (module.num_heads, -1)).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases)
    )
    out = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3) @ value
    return module.out_proj(out.transpose(1, 2).flatten(2))
