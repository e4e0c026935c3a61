"""Swin transformer against that of mmseg with the same weights."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F

from ovss.layers.swin import Swin

NAMES = {
    "patch_embed.proj": "patch_embed.projection",
    "layers.": "stages.",
    ".attn.": ".attn.w_msa.",
    "mlp.fc1": "ffn.layers.0.0",
    "mlp.fc2": "ffn.layers.1",
}


def state_for_mmseg(own: Swin) -> dict[str, torch.Tensor]:
    """Our weights under mmseg's names; mmseg joins 2 x 2 cells channel by channel."""
    found = {}
    for name, value in own.state_dict().items():
        if "downsample" in name:
            # ours: column, row, channel; theirs: channel, row, column
            value = value.unflatten(-1, (2, 2, -1)).movedim((-3, -2, -1), (-1, -2, -3))
            value = value.flatten(-3)
        for old, new in NAMES.items():
            name = name.replace(old, new)
        found[name] = value
    return found


@torch.no_grad()
def test_outputs_are_those_of_mmseg_on_odd_sizes():
    from mmseg.models.backbones.swin import SwinTransformer

    own = Swin(16, (2, 2, 2, 2), (2, 2, 4, 4), window=6, drop_path=0.0).eval()
    for parameter in own.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    other = SwinTransformer(
        embed_dims=16,
        depths=(2, 2, 2, 2),
        num_heads=(2, 2, 4, 4),
        window_size=6,
        drop_path_rate=0.0,
    )
    other.eval()
    missing = other.load_state_dict(state_for_mmseg(own), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("relative_position_index") for key in missing.missing_keys)
    image = torch.randn(2, 3, 75, 110)
    for found, expected in zip(own(image), other(image), strict=True):
        assert torch.allclose(found, expected, atol=1e-4)


def test_stochastic_depth_drops_images_in_training_only():
    model = Swin(16, (1, 1, 1, 1), (2, 2, 2, 2), window=4, drop_path=0.9)
    image = torch.randn(1, 3, 32, 32)
    torch.manual_seed(0)
    assert torch.equal(model.eval()(image)[3], model(image)[3])
    model.train()
    assert len({float(model(image)[3].sum().detach()) for _ in range(6)}) > 1


def test_weights_of_the_authors_are_read_by_name():
    model = Swin(16, (1, 1, 1, 1), (2, 2, 2, 2), window=4)
    published = {
        name: value for name, value in model.state_dict().items() if not name.startswith("norm")
    }
    extra = {"norm.weight": 0, "head.bias": 0, "layers.0.blocks.0.attn.relative_position_index": 0}
    assert model.from_published({**published, **extra}).keys() == model.state_dict().keys()


@torch.no_grad()
def test_weights_of_timm_give_timms_outputs():
    other = timm.models.swin_transformer.SwinTransformer(
        img_size=96,
        embed_dim=16,
        depths=(2, 2, 1, 1),
        num_heads=(2, 2, 4, 4),
        window_size=3,
        num_classes=4,
    ).eval()
    own = Swin(16, (2, 2, 1, 1), (2, 2, 4, 4), window=3).eval()
    own.load_state_dict(own.from_published(other.state_dict()))
    image_13HW = torch.randn(1, 3, 96, 96)
    last_1Dhw = own(image_13HW)[3]
    normal_1hwD = F.layer_norm(other.layers(other.patch_embed(image_13HW)), (128,))
    assert torch.allclose(last_1Dhw.permute(0, 2, 3, 1), normal_1hwD, atol=1e-4)


@pytest.mark.parametrize("options", [dict(dim=30), dict(depths=(2, 2)), dict(drop_path=1.0)])
def test_bad_options(options):
    with pytest.raises(ValueError, match="Swin expects"):
        Swin(**options)
