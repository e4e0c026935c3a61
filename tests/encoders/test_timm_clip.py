"""CLIP models with towers of timm, against open_clip's own modules and slow formulas.

Small models are registered with timm under names of their own, so that open_clip's JSON files can
name them.
"""

from __future__ import annotations

import sys
from functools import partial

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import LayerNorm
from timm.models import register_model
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ovss.encoders import OpenCLIPEncoder, ProxyEncoder, TimmCLIPEncoder
from ovss.encoders.architecture import read_model_config
from ovss.encoders.dense import DENSE_MODES
from ovss.encoders.timm_tower import tower_problem
from ovss.io.shapes_only import shapes_only
from ovss.structures import Vocabulary

SIZES = dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)
TOWERS = {
    "siglip": (VisionTransformer, "map", "none",
               dict(class_token=False, global_pool="map")),
    "eva02": (Eva, "token", None,
              dict(qkv_fused=False, mlp_ratio=8 / 3, swiglu_mlp=True, scale_mlp=True,
                   scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(4, 4))),
    "pe": (Eva, "map", None,
           dict(attn_type="rope", use_pre_transformer_norm=True, use_rot_pos_emb=True,
                ref_feat_shape=(4, 4), rope_grid_offset=1.0, rope_grid_indexing="xy",
                attn_pool_num_heads=4, attn_pool_mlp_ratio=4.0,
                norm_layer=partial(LayerNorm, eps=1e-5))),
    "mobile": (VisionTransformer, "token", None, dict(init_values=0.5)),
    "average": (VisionTransformer, "avg", "linear", dict(global_pool="avg", reg_tokens=2)),
    "headless": (Eva, "avg", "linear",
                 dict(dynamic_img_size=True, qkv_bias=True, init_values=0.5, rope_type="dinov3",
                      rope_rotate_half=True, use_rot_pos_emb=True, use_abs_pos_emb=False,
                      num_reg_tokens=2, use_fc_norm=False)),
}  # fmt: skip


def _register(name: str) -> None:
    cls, _, _, options = TOWERS[name]

    def make(pretrained: bool = False, **arguments):
        arguments = {k: v for k, v in arguments.items() if not k.startswith("pretrained")}
        arguments.pop("cache_dir", None)
        model = cls(**{**SIZES, **options, **arguments})
        model.default_cfg = model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
        return model

    make.__name__, make.__module__ = f"ovss_tiny_{name}", __name__
    register_model(make)


@pytest.fixture(scope="module", autouse=True)
def registered():
    sys.modules.setdefault(__name__, sys.modules[__name__])
    for name in TOWERS:
        if not timm.is_model(f"ovss_tiny_{name}"):
            _register(name)


@pytest.fixture
def make(tiny, reference):
    """Encoder and open_clip's own module with the same weights."""

    def build(name: str, only_config: bool = False, words: int = 64, **options):
        _, pool, proj, _ = TOWERS[name]
        vision = dict(timm_model_name=f"ovss_tiny_{name}", timm_model_pretrained=False,
                      timm_pool=pool, timm_proj=proj)  # fmt: skip
        top = dict(custom_text=True)
        if pool == "map" and proj == "none":
            top |= dict(embed_dim=32, init_logit_bias=-10)
        text = dict(vocab_size=words)
        if name == "siglip":
            text |= dict(no_causal_mask=True, pool_type="last", proj_bias=True)
        path = tiny(vision, text, **top)
        if only_config:
            return dict(model=str(path), text_cache="off")
        module, weights = reference(path)
        return TimmCLIPEncoder(str(path), str(weights), text_cache="off", **options).eval(), module

    return build


def normalised(encoder, image: Tensor) -> Tensor:
    return (image - encoder.mean_311) / encoder.std_311


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_pooled_embedding_and_levels_are_those_of_open_clip(make, name):
    encoder, module = make(name, levels=(0, 2))
    image = 255 * torch.rand(2, 3, 32, 32)
    features = encoder.encode_image(image)
    pixels = normalised(encoder, image)
    torch.testing.assert_close(features.pooled_BC, module.visual(pixels), atol=2e-5, rtol=1e-4)
    _, inner = module.visual.trunk.forward_intermediates(pixels, indices=[0, 2], norm=False)
    for found, expected in zip(features.levels, inner, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert features.dense_BChw.shape == (2, encoder.joint_dim, 4, 4)


@pytest.mark.parametrize("name", ["siglip", "pe"])
@torch.no_grad()
def test_text_is_that_of_open_clip(make, name):
    encoder, module = make(name, words=49408)
    found = encoder.encode_text(Vocabulary(("cat", "a long-haired dog"), ("{}",))).embeds_TPC[:, 0]
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=20)(["cat", "a long-haired dog"])
    torch.testing.assert_close(found, module.encode_text(ids, normalize=True), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_vanilla_tokens_are_images_of_one_cell(make, name):
    """The unchanged last block, norm, pool of each cell alone, head: cell by cell."""
    encoder, module = make(name, dense="vanilla")
    image = 255 * torch.rand(1, 3, 32, 32)
    trunk = module.visual.trunk
    tokens = trunk.forward_features(normalised(encoder, image))  # after the norm
    expected = []
    for index in range(trunk.num_prefix_tokens, tokens.shape[1]):
        cell = tokens[:, index : index + 1]
        cell = trunk.attn_pool(cell) if trunk.attn_pool is not None else cell[:, 0]
        expected.append(module.visual.head(trunk.head(trunk.fc_norm(cell))))
    found = encoder.encode_image(image).dense_BChw[0].flatten(1).T
    torch.testing.assert_close(found, torch.cat(expected), atol=2e-5, rtol=1e-4)


def slow_clearclip(trunk, tokens: Tensor, rope: Tensor | None) -> Tensor:
    """softmax(q q') v of the patches in the last block, without residual and MLP, head by head."""
    block, prefix = trunk.blocks[-1], trunk.num_prefix_tokens
    x, attn = block.norm1(tokens), block.attn
    if getattr(attn, "q_proj", None) is None:
        bias = attn.qkv.bias
        if bias is None and getattr(attn, "q_bias", None) is not None:
            bias = torch.cat([attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias])
        q, _, v = F.linear(x, attn.qkv.weight, bias)[0].chunk(3, dim=1)
    else:
        q, v = attn.q_proj(x)[0], attn.v_proj(x)[0]
    heads = []
    for a, b in zip(q.chunk(attn.num_heads, 1), v.chunk(attn.num_heads, 1), strict=True):
        if rope is not None:
            sine, cosine = rope.chunk(2, dim=1)
            half = attn.rotate_half
            turned = torch.empty_like(a[prefix:])
            for i, row in enumerate(a[prefix:]):
                if half:
                    left, right = row.chunk(2)
                    other = torch.cat([-right, left])
                else:
                    other = torch.stack([-row[1::2], row[::2]], dim=1).flatten()
                turned[i] = row * cosine[i] + other * sine[i]
            a = torch.cat([a[:prefix], turned])
        heads.append((a @ a.T / a.shape[1] ** 0.5).softmax(1) @ b)
    out = attn.proj(attn.norm(torch.cat(heads, dim=1)))[prefix:]
    scale = getattr(block, "gamma_1", None)
    return block.ls1(out) if hasattr(block, "ls1") else out if scale is None else scale * out


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_self_attention_follows_the_formula(make, name, rotate):
    encoder, module = make(name, dense="clearclip", rotate=rotate)
    image = 255 * torch.rand(1, 3, 32, 32)
    visual, pixels = module.visual, normalised(encoder, image)
    trunk = visual.trunk
    seen = {}
    hook = trunk.blocks[-1].register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    trunk.forward_features(pixels)
    hook.remove()
    rope = None
    if rotate and getattr(trunk, "rope", None) is not None:
        rope = trunk.rope.get_embed(shape=[4, 4])
    cells = trunk.norm(slow_clearclip(trunk, seen["x"], rope))
    if trunk.attn_pool is not None:
        cells = trunk.attn_pool(cells[:, None])
    expected = visual.head(trunk.head(trunk.fc_norm(cells)))
    found = encoder.encode_image(image).dense_BChw[0].flatten(1).T
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=1e-3)


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_any_grid_with_timms_own_rule(make, name):
    encoder, module = make(name, dense="vanilla", positions="antialias")
    image = 255 * torch.rand(1, 3, 48, 24)
    features = encoder.encode_image(image)
    assert features.dense_BChw.shape[2:] == (6, 3)
    trunk = module.visual.trunk
    if name != "headless":
        trunk.set_input_size(img_size=(48, 24))
    expected = module.visual(normalised(encoder, image))
    torch.testing.assert_close(features.pooled_BC, expected, atol=3e-5, rtol=1e-3)


OPTIONS = {"gem": dict(depth=2), "clip_surgery": dict(depth=2),
           "sc_clip": dict(depth=3, semantic=2, levels=2)}  # fmt: skip


@pytest.mark.parametrize("mode", DENSE_MODES)
@torch.no_grad()
def test_every_dense_mode_runs(make, mode):
    dense = dict(type=mode, **OPTIONS.get(mode, {}))
    for name in ("siglip", "eva02"):
        if name == "siglip" and mode in ("cat_seg", "sc_clip"):
            with pytest.raises(ValueError, match="has no class token"):
                make(name, dense=dense)
            continue
        encoder, _ = make(name, dense=dense)
        images = 255 * torch.rand(2, 3, 56, 64)
        both = encoder.encode_image(images).dense_BChw
        assert both.isfinite().all()
        torch.testing.assert_close(
            encoder.encode_image(images[1:]).dense_BChw, both[1:], atol=2e-5, rtol=1e-4
        )


@torch.no_grad()
def test_proxy_attention_works_on_a_tower_of_timm(make):
    config = make("eva02", only_config=True)
    proxy = ProxyEncoder(dict(config, type="TimmCLIPEncoder"), dict(model="test_vit")).eval()
    features = proxy.encode_image(255 * torch.rand(1, 3, 32, 48))
    assert features.dense_BChw.shape == (1, proxy.joint_dim, 2, 3)


def test_sigmoid_scale_and_bias_are_exposed(make):
    encoder, module = make("siglip")
    scale, bias = encoder.scale_and_bias
    assert scale == module.logit_scale.exp()
    assert bias == module.logit_bias
    assert make("eva02")[0].scale_and_bias[1] == 0


def test_everything_or_nothing_trains(make):
    encoder, _ = make("eva02", trainable="full", trainable_text="none")
    names = {name for name, p in encoder.clip.named_parameters() if p.requires_grad}
    assert names == {n for n, _ in encoder.clip.named_parameters() if n.startswith("visual.")}
    encoder.train().encode_image(255 * torch.rand(1, 3, 32, 32)).dense_BChw.sum().backward()
    assert encoder.clip.visual.trunk.patch_embed.proj.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="trainable must be none or full"):
        make("eva02", trainable="qv")


def test_pixel_statistics_are_those_of_the_tags_or_as_asked():
    from ovss.encoders.weights import preprocess_of

    for model, value in (("ViT-B-16-SigLIP2", 127.5), ("PE-Core-B-16", 127.5),
                         ("MobileCLIP2-B", 0.0), ("EVA02-B-16", 122.7709383)):  # fmt: skip
        mean, _ = preprocess_of(model, read_model_config(model), None)
        assert mean[0] == pytest.approx(value)
        assert preprocess_of(model, read_model_config(model), "weights.pt")[0] == mean


def test_statistics_can_be_set(make):
    encoder, _ = make("mobile", pixel_mean=(0.0, 0.0, 0.0), pixel_std=(1.0, 1.0, 1.0))
    assert encoder.mean_311.flatten().tolist() == [0, 0, 0]
    assert encoder.std_311.flatten().tolist() == [255, 255, 255]


def test_other_architectures_are_refused_with_the_reason():
    for model, reason in (
        ("ViT-B-16", "use OpenCLIPEncoder"),
        ("MobileCLIP2-S0", "timm's FastVit"),
        ("convnext_base", "timm's ConvNeXt"),
        ("EVA02-E-14", "blocks are EvaBlockPostNorm"),
    ):
        with pytest.raises(ValueError, match=reason):
            TimmCLIPEncoder(model)
    with pytest.raises(ValueError, match="use TimmCLIPEncoder"):
        OpenCLIPEncoder("ViT-B-16-SigLIP")


def test_a_missing_tokenizer_says_what_to_install(make, monkeypatch):
    from ovss.encoders import tokenizer

    def missing(*_, **__):
        raise ImportError("No module named 'transformers'")

    monkeypatch.setattr("open_clip.tokenizer.HFTokenizer", missing)
    with pytest.raises(RuntimeError, match=r"pip install 'ovss\[tokenizers\]'"):
        tokenizer.Tokenizer({"hf_tokenizer_name": "timm/ViT-B-16-SigLIP2"})


@pytest.mark.parametrize(
    "name", [pytest.param("EVA01-g-14", marks=pytest.mark.slow), "ViT-B-32-SigLIP2-256"]
)
def test_problem_of_full_towers(name):
    config = read_model_config(name)["vision_cfg"]
    with shapes_only():
        trunk = timm.create_model(config["timm_model_name"], num_classes=0)
    assert tower_problem(trunk, config["timm_pool"]) is None
