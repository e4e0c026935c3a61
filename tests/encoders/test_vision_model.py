"""Feature maps of timm's transformers: the ways of timm itself, positions, and published names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.encoders.vision_model import VisionModel
from ovss.layers.patches import resize_positions


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "vit_base_patch16_radio_v3.c_radio"])
def test_tokens_equal_those_of_timm(model):
    torch.manual_seed(0)
    features = VisionModel(model, native=64).eval()
    trunk, image = features.trunk, torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        found = features(image)
        pixels = (image - features.mean_311) / features.std_311
        expected = trunk.forward_features(pixels)[:, trunk.num_prefix_tokens :]
    assert found.shape == (2, features.dim, 4, 4)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-5)
    assert not any(p.requires_grad for p in features.parameters())


def test_queries_and_keys_are_those_of_the_last_block():
    torch.manual_seed(0)
    features = VisionModel("vit_tiny_patch16_224", features="query_key", native=64).eval()
    blocks, image = features.trunk.blocks, torch.rand(1, 3, 64, 64) * 255
    seen = []
    handle = blocks[-1].attn.qkv.register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.inference_mode():
        found = features(image)
        handle.remove()
    query, key, _ = seen[0].chunk(3, dim=2)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), query + key)


def test_positions_of_c_radio_are_cut_from_a_square():
    table = torch.rand(2 + 64, 5)
    found = resize_positions(table, (8, 8), (3, 6), "square", 2)
    assert torch.equal(found[:2], table[:2])
    square = F.interpolate(table[2:].T.view(1, 5, 8, 8), (6, 6), mode="bilinear")[0]
    torch.testing.assert_close(found[2:].T.view(5, 3, 6), square[:, :3])
    assert torch.equal(resize_positions(table, (8, 8), (8, 8), "square", 2), table)


def test_published_weights_of_timm_load(tmp_path):
    import timm
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", num_classes=3).state_dict(), path)
    for features in ("tokens", "query_key"):
        first, other = (
            VisionModel("vit_tiny_patch16_224", str(path), features=features) for _ in range(2)
        )
        pairs = zip(first.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_pixel_statistics_follow_the_tag():
    dino, radio = (VisionModel(name, native=64) for name in (
        "vit_small_patch16_224.dino", "vit_base_patch16_radio_v3.c_radio"))  # fmt: skip
    assert dino.mean_311.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert radio.mean_311[0].item() == pytest.approx(255 * 0.48145466)
