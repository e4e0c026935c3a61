"""dino.txt: sizes of the published release, halves of the embeddings, loading."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from ovss.encoders import DinoTextEncoder
from ovss.structures import Vocabulary

SMALL = dict(head_heads=4, text_width=32, text_heads=2, text_layers=1, text_cache="off")


def make(**options) -> DinoTextEncoder:
    torch.manual_seed(0)
    encoder = DinoTextEncoder(dict(model="test_vit"), **{**SMALL, **options}).eval()
    for parameter in encoder.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def test_sizes_are_those_of_the_release():
    """866,611,713 parameters, as published, with what differs in the way of writing them down."""
    with torch.device("meta"):
        encoder = DinoTextEncoder(dict(model="vit_large_patch16_dinov3_qkvb"), text_cache="off")
        features = encoder.encode_image(torch.zeros(1, 3, 448, 608))
    assert features.dense_BChw.flatten(2).shape == (1, 1024, 1064)
    count = {
        name: sum(p.numel() for p in part.parameters()) for name, part in encoder.named_children()
    }
    assert count["head"] == 25_326_336
    assert count["clip"] == 538_131_200 + 24 * 3 * 1280  # biases that are zero
    key_biases, mask_token = 24 * 1024, 1024
    assert count["backbone"] == 303_154_176 - key_biases - mask_token


@torch.no_grad()
def test_dense_tokens_come_from_the_head_on_all_tokens():
    encoder = make()
    image = 255 * torch.rand(2, 3, 160, 160)
    trunk = encoder.backbone.trunk
    tokens = trunk.forward_features((image - encoder.backbone.mean_311) / encoder.backbone.std_311)
    for block in encoder.head[:-1]:
        tokens = block(tokens)
    expected = encoder.head[-1](tokens)[:, trunk.num_prefix_tokens :]
    found = encoder.encode_image(image)
    torch.testing.assert_close(
        found.dense_BChw.flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(found.pooled_BC, expected.mean(1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_text_is_the_second_half():
    encoder = make()
    vocabulary = Vocabulary(("cat", "dog"), ("a {}.", "the {}."))
    half = encoder.encode_text(vocabulary).embeds_TPC
    encoder._encode_vocabulary._last = 0
    whole = encoder._encode_vocabulary(encoder.clip, vocabulary).embeds_TPC
    dim = encoder.joint_dim
    assert whole.shape == (2, 2, 2 * dim)
    torch.testing.assert_close(half, F.normalize(whole[..., dim:], dim=-1))
    assert not any(p.requires_grad for p in encoder.parameters())


def test_files_load_and_others_are_refused(tmp_path):
    source, path = make(), tmp_path / "dinotxt.safetensors"
    parts = {"head.": source.head, "text.": source.clip.text}
    tensors = {p + n: v for p, part in parts.items() for n, v in part.state_dict().items()}
    save_file(tensors, path)
    loaded = DinoTextEncoder(dict(model="test_vit"), str(path), **SMALL)
    assert torch.equal(loaded.head[0].norm1.weight, source.head[0].norm1.weight)
    assert torch.equal(loaded.clip.text.text_projection, source.clip.text.text_projection)
    save_file({n: v for n, v in tensors.items() if n != "text.ln_final.bias"}, path)
    with pytest.raises(RuntimeError, match=r"1 of \d+ tensors.*text.ln_final.bias"):
        DinoTextEncoder(dict(model="test_vit"), str(path), **SMALL)
    with pytest.raises(ValueError, match="expects a plain vision transformer"):
        DinoTextEncoder(dict(model="samvit_base_patch16_224"), **SMALL)
