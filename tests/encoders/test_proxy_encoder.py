"""Proxy attention against a slow formula; its options; the vision models that join CLIP."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from ovss.encoders import ProxyEncoder
from ovss.encoders.proxy_attention import ProxyOptions, proxy_weights
from ovss.encoders.vision_model import VisionModel
from ovss.layers.timm_tokens import is_plain_tower, tower_tokens
from ovss.structures import Padding

DINO = dict(model="test_vit")  # timm's smallest: 16 pixels, 160 pixels a side


def lively(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


def make(tiny, **options) -> ProxyEncoder:
    clip = dict(type="OpenCLIPEncoder", model=str(tiny()), text_cache="off")
    return ProxyEncoder(clip=clip, vfm=DINO, **options).eval()


def slow_weights(features, beta: float, gamma: float):
    """One window: cell by cell."""
    cells = [cell / cell.norm() for cell in features.flatten(1).T]
    similar = [[float(a @ b) for b in cells] for a in cells]
    mean = sum(map(sum, similar)) / len(cells) ** 2
    rows = []
    for row in similar:
        raised = [math.exp(gamma * (s - beta * mean)) if s >= beta * mean else 0.0 for s in row]
        rows.append([value / sum(raised) for value in raised])
    return torch.tensor(rows)


def test_weights_follow_the_formula():
    features = torch.randn(2, 5, 3, 4) + 0.3
    found = proxy_weights(features, ProxyOptions(beta=1.1, gamma=2.0))
    for index in range(2):
        expected = slow_weights(features[index], 1.1, 2.0)
        torch.testing.assert_close(found[index], expected, atol=1e-6, rtol=1e-5)


def test_the_mean_may_be_that_of_all_windows():
    features = torch.randn(2, 5, 3, 4) + 0.3
    together = proxy_weights(features, ProxyOptions(mean="batch"))
    apart = proxy_weights(features, ProxyOptions())
    assert not torch.allclose(together, apart)
    same = features[:1].expand(2, -1, -1, -1)
    twice = proxy_weights(same, ProxyOptions(mean="batch"))
    torch.testing.assert_close(twice[:1], proxy_weights(same[:1], ProxyOptions()))


def test_cells_attend_to_themselves_if_nothing_is_similar_enough():
    """The mean of nearly equal cells is above 1 / beta, which leaves no cell in any row."""
    features = torch.ones(1, 5, 3, 3) + 1e-3 * torch.randn(1, 5, 3, 3)
    torch.testing.assert_close(proxy_weights(features, ProxyOptions())[0], torch.eye(9))


@torch.no_grad()
def test_dense_tokens_are_weighted_values(tiny):
    encoder = make(tiny)
    image = 255 * torch.rand(1, 3, 32, 48)
    features = encoder.encode_image(image)
    assert features.dense_BChw.shape == (1, 16, 2, 3)
    visual = encoder.encoder.clip.visual
    last = encoder.encoder.last_block((image - encoder.encoder.mean_311) / encoder.encoder.std_311)
    value = last.v_BND[0, 1:].T.unflatten(1, (4, 6))
    value = F.interpolate(value[None], size=(2, 3), mode="bilinear")[0].flatten(1).T
    weights = slow_weights(encoder.vfm(image)[0], 1.2, 3.0)
    out = visual.ln_post(last.block.attn.out_proj(weights @ value)) @ visual.proj
    torch.testing.assert_close(features.dense_BChw[0].flatten(1).T, out, atol=1e-5, rtol=1e-4)
    plain = encoder.encoder.encode_image(image)
    torch.testing.assert_close(features.pooled_BC, plain.pooled_BC, atol=1e-5, rtol=1e-4)
    assert not any(p.requires_grad for p in encoder.vfm.parameters())


@torch.no_grad()
def test_padding_is_centred_and_of_clips_mean_colour(tiny):
    encoder = make(tiny, multiple=24)
    assert encoder.cell == (48, 48)
    image = 255 * torch.rand(1, 3, 40, 70)
    features = encoder.encode_image(image)
    assert features.padding == Padding((48, 96), (40, 70), (4, 13))
    padded = encoder.fitted(image)[0]
    assert torch.equal(padded[0, :, 0, 0], encoder.encoder.mean_311[:, 0, 0])
    torch.testing.assert_close(padded[..., 4:44, 13:83], image)
    assert encoder.encode_image(image.repeat(1, 1, 3, 3)[..., :48, :48]).padding is None


@torch.no_grad()
def test_an_encoder_of_clip_can_be_the_other_model(tiny):
    path = str(tiny())
    clip = dict(type="OpenCLIPEncoder", model=path)
    encoder = ProxyEncoder(clip=clip, vfm=dict(clip, levels=(0,))).eval()
    assert encoder.encode_image(255 * torch.rand(2, 3, 32, 24)).dense_BChw.shape == (2, 16, 4, 3)


def test_options_are_checked(tiny):
    with pytest.raises(ValueError, match=r"mean must be window or batch, got 'all'"):
        make(tiny, proxy=dict(mean="all"))
    with pytest.raises(TypeError, match="Did you mean 'beta'"):
        make(tiny, proxy=dict(bta=1.0))
    with pytest.raises(ValueError, match="got 'resnet18'"):
        VisionModel("resnet18")
    clip = dict(type="OpenCLIPEncoder", model=str(tiny()))
    with pytest.raises(ValueError, match="expects an OpenCLIPEncoder"):
        ProxyEncoder(clip=dict(type="ProxyEncoder", clip=clip, vfm=DINO), vfm=DINO)
    clip = dict(type="OpenCLIPEncoder", model=str(tiny()), image_size=40)
    with pytest.raises(ValueError, match=r"a multiple of \(16, 16\)"):
        ProxyEncoder(clip=clip, vfm=DINO)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        VisionModel("test_vit", pretrained="/nowhere/dino.pth")


TOWERS = {
    "plain": (VisionTransformer, {}),
    "registers": (VisionTransformer, dict(reg_tokens=2, no_embed_class=True, init_values=0.1)),
    "pooled": (VisionTransformer, dict(global_pool="avg", class_token=False)),
    "dinov3": (
        Eva,
        dict(dynamic_img_size=True, qkv_bias=False, init_values=0.1, rope_type="dinov3",
             rope_rotate_half=True, use_rot_pos_emb=True, use_abs_pos_emb=False,
             num_reg_tokens=2, use_fc_norm=False),
    ),
    "pe": (
        Eva,
        dict(attn_type="rope", use_pre_transformer_norm=True, use_rot_pos_emb=True,
             ref_feat_shape=(3, 3), rope_grid_offset=1.0, rope_grid_indexing="xy"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_tokens_are_those_of_timm(name):
    """At the native size exactly; elsewhere by timm's own resizing, with its rule for positions."""
    cls, options = TOWERS[name]
    sizes = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0)
    trunk = lively(cls(**sizes, **options))
    assert is_plain_tower(trunk)
    for size in ((32, 32), (48, 24)):
        pixels = torch.randn(2, 3, *size)
        found, grid = tower_tokens(trunk, pixels, "antialias")
        if size != (32, 32) and name != "dinov3":
            trunk.set_input_size(img_size=size)
        expected = trunk.fc_norm(trunk.forward_features(pixels))[:, trunk.num_prefix_tokens :]
        assert grid == (size[0] // 8, size[1] // 8)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_sam_gives_the_output_of_its_neck_at_its_own_size(monkeypatch):
    from timm.models.vision_transformer_sam import VisionTransformerSAM

    def small(*_, **options):
        return VisionTransformerSAM(
            img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, neck_chans=8,
            use_rel_pos=True, window_size=2, global_attn_indexes=(1,), **options,
        )  # fmt: skip

    monkeypatch.setattr(timm, "create_model", small)
    model = VisionModel("samvit_base_patch16.sa1b", size=64).eval()
    assert model(255 * torch.rand(1, 3, 40, 56)).shape == (1, 8, 4, 4)
    assert model.mean_311.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


@torch.no_grad()
def test_files_in_the_authors_names_load(tmp_path):
    source = lively(timm.create_model("test_vit", num_classes=0))
    path = tmp_path / "vfm.safetensors"
    save_file({**source.state_dict(), "head.weight": torch.zeros(2, 2)}, path)
    model = VisionModel("test_vit", pretrained=str(path))
    for name, value in source.state_dict().items():
        assert torch.equal(model.trunk.state_dict()[name], value)
    save_file({n: v for n, v in source.state_dict().items() if n != "norm.weight"}, path)
    with pytest.raises(RuntimeError, match=r"do not fit test_vit: 1 missing \(norm.weight\)"):
        VisionModel("test_vit", pretrained=str(path))
