"""Trident's weights from SAM against timm's own block and slow formulas; the encoder as a whole."""

from __future__ import annotations

import json

import pytest
import timm
import torch
import torch.nn.functional as F
from ovss_plugins.proxyclip import TridentEncoder, sam_attention
from ovss_plugins.proxyclip.sam_attention import merged_attention, sam_weights
from timm.models.vision_transformer_sam import VisionTransformerSAM

from ovss.encoders.vision_model import VisionModel
from ovss.models.build import build_model
from ovss.testing.tiny import make_images

SAM = dict(model="samvit_base_patch16.sa1b", size=64)
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def small_sam(monkeypatch):
    real = timm.create_model

    def create(name, **options):
        if not name.startswith("samvit"):
            return real(name, **options)
        torch.manual_seed(0)
        sam = VisionTransformerSAM(
            img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, neck_chans=8,
            use_rel_pos=True, window_size=2, global_attn_indexes=(1,), **options,
        )  # fmt: skip
        for parameter in sam.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return sam

    monkeypatch.setattr(timm, "create_model", create)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(CLIP))
    return dict(type="OpenCLIPEncoder", model=str(path), text_cache="off")


def slow_merged(attention, value, factor, keep):
    """Row by row and head by head."""
    heads, count = value.shape[:2]
    similar = torch.stack([F.normalize(v, dim=1) @ F.normalize(v, dim=1).T for v in value])
    rows = []
    for i in range(count):
        theta = min(factor * float(similar[:, i].mean()), 0.9)
        if theta < 0 and not keep:
            theta = 0.6
        row = sum(attention[h, i] * (similar[h, i] > theta) for h in range(heads)) / heads
        rows.append(row / row.sum())
    return torch.stack(rows)


@pytest.mark.parametrize(("factor", "keep"), [(1.2, True), (3.0, False), (50.0, True)])
def test_merged_attention_follows_the_formula(factor, keep):
    torch.manual_seed(1)
    attention, value = torch.rand(3, 7, 7).softmax(-1), torch.randn(3, 7, 4) + 1
    value[:, 0] = -value[:, 1:].sum(1)  # the opposite of the others, so that theta is negative
    found = merged_attention(attention, value, factor, keep)
    torch.testing.assert_close(found, slow_merged(attention, value, factor, keep))


@torch.no_grad()
def test_attention_is_that_of_the_last_block():
    sam = VisionModel(**SAM).eval()
    block = sam.trunk.blocks[-1]
    tokens = sam_attention._last_input(sam.trunk, torch.randn(1, 3, 64, 64))
    query, key, value = sam_attention._heads(block.attn, block.norm1(tokens))
    every = torch.arange(16)
    heads = sam_attention._attention(block.attn, query, key, every, (4, 4))
    output = torch.cat([weights @ v for weights, v in zip(heads, value, strict=True)], dim=1)
    expected = block.attn(block.norm1(tokens))[0].flatten(0, 1)
    torch.testing.assert_close(block.attn.proj(output), expected, atol=1e-4, rtol=1e-4)
    expected = block(tokens)
    neck = sam.trunk.neck(expected.permute(0, 3, 1, 2))
    pixels = torch.randn(1, 3, 64, 64)
    whole = sam.trunk.forward_features(pixels)
    last = block(sam_attention._last_input(sam.trunk, pixels))
    torch.testing.assert_close(
        sam.trunk.neck(last.permute(0, 3, 1, 2)), whole, atol=1e-4, rtol=1e-4
    )
    assert neck.shape == whole.shape


@torch.no_grad()
def test_weights_cover_the_image_without_its_padding():
    sam = VisionModel(**SAM).eval()
    weights = sam_weights(sam, make_images(1)[0][:, :48], 1.2, True)
    assert weights.shape == (2, 4, 8)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 4))


@torch.no_grad()
def test_the_whole_method_merges_features(clip):
    proxy = dict(clip=clip, vfm=dict(model="test_vit"), multiple=16,
                 proxy=dict(beta=0.9, mean="batch"))  # fmt: skip
    model = build_model(
        dict(
            type="OpenVocabSegmentor",
            encoder=dict(type="TridentEncoder", proxy=proxy, sam=SAM),
            head=dict(type="CosineHead"),
            decoder=dict(type="UpsampleDecoder", scale=40.0),
            prompts=dict(templates="single", synonyms="max"),
            inference=dict(
                mode="slide",
                size=48,
                keep_ratio=True,
                longest=80,
                window=48,
                stride=32,
                global_view=False,
                activation="softmax",
                merge="features",
            ),
        )
    ).eval()
    encoder = model.encoder
    for parameter in encoder.proxy.vfm.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    image = make_images(1, 120)[0][:, :60]
    text = model.encode_vocabulary(("cat, kitten", "dog"))
    scores = model.scores(image, text)
    assert scores.probs_BKHW.shape == (1, 3, 2, 4)
    assert model.label_map(scores, (60, 120)).shape == (60, 120)
    # Views in one batch share the mean similarity, which is why they must come together.
    views = torch.stack([image[:, :48, :48], image[:, :48, 32:80]])
    together, apart = encoder.encode_windows(views), encoder.encode_windows(views[:1])
    assert not torch.allclose(together.maps[0][:1], apart.maps[0], atol=1e-6)
    features = encoder.encode_image(views)
    assert features.dense_BChw.shape == (2, 16, 4, 4)


def test_options_are_checked(clip):
    proxy = dict(clip=clip, vfm=dict(model="test_vit"))
    with pytest.raises(ValueError, match="expects SAM's image encoder with a size"):
        TridentEncoder(proxy, dict(model="test_vit", size=160))
    with pytest.raises(TypeError, match="multiple"):
        TridentEncoder(dict(proxy, multipel=3), SAM)
