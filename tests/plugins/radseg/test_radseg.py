"""SCRA and SCGA against slow formulas, token by token; the encoder as a whole."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from ovss_plugins.radseg import RADSegEncoder
from ovss_plugins.radseg.adaptor import LanguageAdaptor
from ovss_plugins.radseg.correlation import global_aggregation, recursive_block
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from ovss.encoders.last_block import LastBlock
from ovss.encoders.timm_block import TimmBlock
from ovss.models.build import build_model
from ovss.testing.tiny import make_images


def small(**options) -> VisionTransformer:
    torch.manual_seed(0)
    trunk = VisionTransformer(
        img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, reg_tokens=2,
        no_embed_class=True, final_norm=False, init_values=0.5, **options,
    )  # fmt: skip
    for parameter in trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return trunk.eval()


@pytest.fixture(autouse=True)
def small_radio(monkeypatch):
    real = timm.create_model

    def create(name, **options):
        return small(**options) if "radio" in name else real(name, **options)

    monkeypatch.setattr(timm, "create_model", create)


def slow_weights(rows, factor: float, shift: float):
    """softmax(factor (cosine - shift)) over what is not negative, row by row."""
    unit = [row / row.norm() for row in rows]
    weights = []
    for a in unit:
        values = [factor * (float(a @ b) - shift) for b in unit]
        raised = [math.exp(v) if v >= 0 else 0.0 for v in values]
        weights.append([value / sum(raised) for value in raised])
    return torch.tensor(weights)


@torch.no_grad()
def test_recursive_attention_follows_the_formula():
    block, tokens = small().blocks[-1], torch.randn(1, 9, 32)
    found = recursive_block(LastBlock(TimmBlock(block), tokens, (2, 3), prefix=3), 10.0)
    x = block.norm1(tokens)
    y = block.attn(x)[0]
    value = (x[0] @ block.attn.qkv.weight.T + block.attn.qkv.bias)[:, 64:]
    heads = [
        slow_weights(y[:, part], 10.0, 0.0) @ value[:, part]
        for part in (slice(0, 16), slice(16, 32))
    ]
    out = tokens + block.ls1(block.attn.proj(torch.cat(heads, dim=1)))
    expected = out + block.ls2(block.mlp(block.norm2(out)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [4, 1024])
def test_global_aggregation_follows_the_formula(rows):
    torch.manual_seed(0)
    features = torch.randn(2, 5, 3, 4) + 0.4
    found = global_aggregation(features, 10.0, rows)
    for index in range(2):
        cells = features[index].flatten(1).T
        unit = cells / cells.norm(dim=1, keepdim=True)
        weights = slow_weights(list(cells), 10.0, float((unit @ unit.T).mean()))
        expected = (weights @ cells).T.unflatten(1, (3, 4))
        torch.testing.assert_close(found[index], expected, atol=1e-5, rtol=1e-4)


RADIO = dict(model="vit_base_patch16_radio_v3.c_radio", positions="bicubic")


@torch.no_grad()
def test_without_correlations_the_tokens_are_those_of_the_backbone():
    encoder = RADSegEncoder(RADIO, "mini_clip", recursive=0, aggregate=0, text_cache="off").eval()
    images = make_images(2, 64)
    vision = encoder.backbone
    expected = encoder.adaptor(vision(images).flatten(2).transpose(1, 2))
    found = encoder.encode_image(images)
    torch.testing.assert_close(
        found.dense_BChw.flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-4
    )
    assert not any(p.requires_grad for p in encoder.parameters())


@torch.no_grad()
def test_the_whole_method(tmp_path):
    adaptor = LanguageAdaptor(32, 128, hidden=24, blocks=1)
    path = tmp_path / "adaptor.safetensors"
    named = {f"heads.siglip2.feature.{name}": value for name, value in adaptor.state_dict().items()}
    save_file({**named, "heads.siglip2.summary.fc1.weight": torch.zeros(2)}, path)
    prefix = "heads.siglip2.feature."
    options = dict(hidden=24, blocks=1, pretrained=str(path), prefix=prefix)
    model = build_model(
        dict(
            type="OpenVocabSegmentor",
            encoder=dict(
                type="RADSegEncoder", backbone=RADIO, text="mini_clip", adaptor=options,
                text_cache="off",
            ),
            head=dict(type="CosineHead"),
            decoder=dict(type="UpsampleDecoder", scale=100.0),
            post_processor=dict(type="Denoise", threshold=0.5),
            prompts=dict(templates="single", synonyms="max"),
            inference=dict(
                mode="slide", size=64, keep_ratio=True, longest=200, window=64, stride=32,
                global_view=False, activation="softmax", merge="features",
            ),
        )
    ).eval()  # fmt: skip
    assert torch.equal(model.encoder.adaptor.fc1.weight, adaptor.fc1.weight)
    text = model.encode_vocabulary(("cat, kitten", "dog"))
    scores = model.scores(make_images(1, 96)[0][:, :64], text)
    assert scores.features.dense_BChw.shape == (1, 128, 4, 6)
    assert scores.probs_BKHW.isfinite().all()


def test_options_are_checked(tmp_path):
    with pytest.raises(ValueError, match="it is SAM's"):
        RADSegEncoder(dict(model="samvit_base_patch16_224"), "mini_clip")
    with pytest.raises(FileNotFoundError, match="language adaptor does not exist"):
        RADSegEncoder(RADIO, "mini_clip", adaptor=dict(pretrained="/nowhere.safetensors"))
    save_file({"feature.fc1.weight": torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    with pytest.raises(RuntimeError, match="do not fit the language adaptor"):
        LanguageAdaptor(32, 16, pretrained=str(tmp_path / "a.safetensors"))
