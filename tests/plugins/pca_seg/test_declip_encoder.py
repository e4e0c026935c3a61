"""The image tower of DeCLIP against its formula, and the converter against every name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.pca_seg import DeCLIPEncoder
from ovss_plugins.pca_seg.convert import convert
from ovss_plugins.pca_seg.eva import eva_features
from ovss_plugins.pca_seg.eva_names import published_name, with_open_clip_names
from timm.models.eva import Eva
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config

_CLIP = "sem_seg_head.predictor.clip_model."


@pytest.fixture(scope="module")
def trunk() -> Eva:
    torch.manual_seed(0)
    trunk = Eva(
        img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2, qkv_fused=False,
        mlp_ratio=8 / 3, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True,
        use_rot_pos_emb=True, ref_feat_shape=(4, 4), num_classes=16, global_pool="token",
    )  # fmt: skip
    for parameter in trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return trunk.eval()


@torch.no_grad()
def test_pooled_embedding_and_levels_are_those_of_timm(trunk):
    pixels = torch.randn(2, 3, 32, 32)
    features = eva_features(trunk, pixels, levels=(0, 2))
    torch.testing.assert_close(features.pooled_BC, trunk(pixels), atol=1e-5, rtol=1e-5)
    _, inner = trunk.forward_intermediates(pixels, indices=[0, 2], norm=False)
    for found, expected in zip(features.levels, inner, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["csa", "qq"])
def test_dense_tokens_follow_the_formula(trunk, mode):
    """Products without scale and positions, no residual, no MLP, length 1."""
    pixels = torch.randn(1, 3, 32, 32)
    tokens = trunk.patch_embed(pixels)
    tokens = torch.cat([trunk.cls_token, tokens], dim=1) + trunk.pos_embed
    for block in trunk.blocks[:2]:
        tokens = block(tokens, rope=trunk.rope.get_embed())
    last = trunk.blocks[2]
    x = last.norm1(tokens)[0]
    out = []
    for head in (slice(0, 16), slice(16, 32)):
        q, k, v = (part(x)[:, head] for part in
                   (last.attn.q_proj, last.attn.k_proj, last.attn.v_proj))  # fmt: skip
        weights = (q @ q.T).softmax(1)
        if mode == "csa":
            weights = weights + (k @ k.T).softmax(1)
        out.append(weights @ v)
    dense = last.attn.proj(last.attn.norm(torch.cat(out, dim=1)))[1:]
    expected = F.normalize(trunk.head(trunk.norm(dense)), dim=1)
    found = eva_features(trunk, pixels, mode=mode).dense_BChw[0].flatten(1).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_any_grid(trunk):
    features = eva_features(trunk, torch.randn(1, 3, 40, 24))
    assert features.dense_BChw.shape == (1, 16, 5, 3)


def published(size: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, almost without memory."""
    state: dict[str, Tensor] = {}
    for name, value in (
        on_meta(load_config(f"pca_seg_eva02-{size}")).encoder.clip.state_dict().items()
    ):
        if name.endswith((".attn.k_proj_weight", ".attn.v_proj_weight")):
            continue
        if name.endswith(".attn.q_proj_weight"):
            name, value = name.replace("q_proj", "in_proj"), value.repeat(3, 1)
        state[_CLIP + published_name(name)] = value
    return state


@pytest.mark.parametrize(("size", "trained"), [("b16", 31_012_725), ("l14", 80_099_189)])
def test_every_name_of_the_image_and_text_towers(size, trained):
    from ovss_plugins.pca_seg.convert import aggregator_names

    model = on_meta(load_config(f"pca_seg_eva02-{size}"))
    state = published(size)
    assert _CLIP + "visual.blocks.0.attn.inner_attn_ln.weight" in state
    assert _CLIP + "visual.blocks.0.attn.q_bias" in state
    state[_CLIP + "visual.blocks.0.attn.rope.freqs_cos"] = torch.zeros(1)
    # shapes of the aggregator are those of its parity test
    state |= {name: torch.zeros(1) for name in aggregator_names()}
    conversion = convert(state)
    prefix = "encoder.clip."
    found = {n: t.shape for n, t in conversion.tensors.items() if n.startswith(prefix)}
    assert found == {prefix + n: t.shape for n, t in model.encoder.clip.state_dict().items()}
    assert {n for n in conversion.tensors if n.startswith("decoder.")} == {
        f"decoder.{n}" for n in model.decoder.state_dict()
    }
    assert len(conversion.dropped) == 1
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_unknown_checkpoints_are_refused():
    tensors = {"cls_token": torch.zeros(1, 1, 64), "norm.weight": torch.zeros(64)}
    tensors = {f"{_CLIP}visual.{name}": value for name, value in tensors.items()}
    with pytest.raises(CheckpointError, match="768 or 1024 channels, found 64"):
        convert(tensors)
    with pytest.raises(CheckpointError, match="found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})


def test_names_of_declip_and_open_clip_both_load():
    names = {
        "visual.cls_token": 1,
        "visual.blocks.1.attn.v_bias": 2,
        "visual.blocks.0.attn.rope.freqs_sin": 3,
    }
    renamed = with_open_clip_names({f"module.{name}": torch.tensor(v) for name, v in names.items()})
    assert set(renamed) == {"visual.trunk.cls_token", "visual.trunk.blocks.1.attn.v_proj.bias"}
    own = {"visual.trunk.norm.weight": torch.zeros(1)}
    assert with_open_clip_names(own) == own


def test_options_are_checked():
    with pytest.raises(ValueError, match="its image tower is its own ViT"):
        DeCLIPEncoder("ViT-B-16")
    with pytest.raises(ValueError, match="mode must be one of csa, qq"):
        DeCLIPEncoder("EVA02-B-16", mode="kk")
