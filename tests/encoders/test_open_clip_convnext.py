"""The ConvNeXt encoder against open_clip's own module and timm's own stages."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.encoders import OpenCLIPConvNeXtEncoder, OpenCLIPEncoder
from ovss.encoders.weights import CLIP_MEAN, CLIP_STD
from ovss.io.shapes_only import shapes_only
from ovss.structures import Vocabulary

LINEAR = {"timm_model_name": "test_convnext", "timm_model_pretrained": False, "timm_pool": "",
          "timm_proj": "linear", "timm_drop": 0.0, "timm_drop_path": 0.1}  # fmt: skip
MLP = {**LINEAR, "timm_proj": "mlp"}


def normalised(image):
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (CLIP_MEAN, CLIP_STD))
    return (image / 255 - mean) / std


@pytest.mark.parametrize("vision", [LINEAR, MLP], ids=["linear", "mlp"])
@torch.no_grad()
def test_every_output_against_open_clip_and_timm(tiny, reference, vision):
    path = tiny(vision)
    module, weights = reference(path)
    encoder = OpenCLIPConvNeXtEncoder(str(path), str(weights), levels=(0, 2, 1)).eval()
    image = 255 * torch.rand(2, 3, 64, 96)
    features = encoder.encode_image(image)
    visual = module.visual
    torch.testing.assert_close(features.pooled_BC, module.encode_image(normalised(image)))
    x, maps = visual.trunk.stem(normalised(image)), []
    for stage in visual.trunk.stages:
        x = stage(x)
        maps.append(x)
    for level, stage in zip(features.levels, (0, 2, 1), strict=True):
        torch.testing.assert_close(level, maps[stage])
    for row in range(2):
        for column in range(3):
            cell = F.layer_norm(x[:, :, row, column], x.shape[1:2], eps=1e-6)
            cell = cell * visual.trunk.head.norm.weight + visual.trunk.head.norm.bias
            expected = visual.head(cell)
            found = features.dense_BChw[:, :, row, column]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_what_is_declared_is_given(tiny):
    encoder = OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)), levels=(0, 1, 2)).eval()
    features = encoder.encode_image(torch.zeros(1, 3, 64, 160))
    assert encoder.joint_dim == features.dense_BChw.shape[1] == 16
    for level, dim, scale in zip(features.levels, encoder.level_dims, encoder.level_scales):
        assert level.shape == (1, dim, 2 * scale, 5 * scale)
    assert encoder.level_scales == (8, 4, 2)


@pytest.mark.parametrize(
    ("image_size", "given", "grid"),
    [(None, (50, 77), (2, 2)), (None, (3, 500), (1, 16)), ((32, 96), (200, 90), (1, 3))],
)
@torch.no_grad()
def test_any_input_size(tiny, image_size, given, grid):
    encoder = OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)), image_size=image_size).eval()
    features = encoder.encode_image(torch.randint(0, 256, (1, 3, *given), dtype=torch.uint8))
    assert features.dense_BChw.shape == (1, 16, *grid)
    assert features.levels == ()


@torch.no_grad()
def test_words_are_those_of_the_other_encoder_with_the_same_text_tower(tiny, reference):
    path = tiny(LINEAR)
    _, weights = reference(path)
    encoder = OpenCLIPConvNeXtEncoder(str(path), str(weights)).eval()
    other = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    own = encoder.clip.state_dict()
    other.clip.load_state_dict({**other.clip.state_dict(), **{
        name: value for name, value in own.items() if not name.startswith("visual.")}})  # fmt: skip
    words = Vocabulary(("cat, kitten", "dog"), ("a photo of a {}.", "{}"), "average")
    found, expected = (e.encode_text(words).embeds_TPC for e in (encoder, other))
    assert found.shape == (2, 2, 16)
    torch.testing.assert_close(found, expected)
    assert encoder.encode_text(words).embeds_TPC is found


@pytest.mark.parametrize(
    ("model", "total", "image"),
    [
        ("convnext_base_w_320", 179_385_345, 88_221_824),
        ("convnext_large_d_320", 351_772_609, 199_770_816),
    ],
)
def test_full_size_counts(model, total, image):
    with shapes_only():
        encoder = OpenCLIPConvNeXtEncoder(model, trainable="full", trainable_text="none")
    assert sum(p.numel() for p in encoder.parameters()) == total
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == image


def test_dropping_is_for_training_and_by_the_given_rates(tiny):
    encoder = OpenCLIPConvNeXtEncoder(str(tiny(MLP)), drop_path=0.3, dropout=0.4)
    trunk = encoder.clip.visual.trunk
    rates = [p.drop_prob for p in trunk.modules() if type(p).__name__ == "DropPath"]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)
    assert encoder.clip.visual.head.mlp.drop1.p == 0.4
    still = OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)))
    kinds = {type(part).__name__ for part in still.clip.visual.trunk.modules()}
    assert "DropPath" not in kinds
    assert all(p.p == 0 for p in still.modules() if isinstance(p, nn.Dropout))


def test_gradients_reach_every_image_weight(tiny):
    encoder = OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)), trainable="full", trainable_text="none")
    features = encoder.train().encode_image(255 * torch.rand(2, 3, 64, 64))
    features.dense_BChw.square().mean().backward()
    for name, parameter in encoder.clip.named_parameters():
        assert (parameter.grad is not None) == name.startswith("visual."), name


@pytest.mark.parametrize(
    ("vision", "arguments", "message"),
    [
        ({}, {}, "own, not a ConvNeXt of timm; use OpenCLIPEncoder"),
        ({**LINEAR, "timm_model_name": "vit_tiny_patch16_224"}, {}, "not a ConvNeXt"),
        ({**LINEAR, "timm_proj": "none"}, {}, "not a projection of the mean"),
        (LINEAR, {"levels": (4,)}, r"stages \[4\], but the image tower has 0\.\.3"),
        (LINEAR, {"image_size": 40}, r"nearest valid size is \(32, 32\)"),
        (LINEAR, {"trainable": "qv"}, "'qv' trains nothing in a tower without attention"),
        (LINEAR, {"drop_path": 1.0}, "drop_path must be"),
    ],
)
def test_bad_arguments_say_why(tiny, vision, arguments, message):
    with pytest.raises(ValueError, match=message):
        OpenCLIPConvNeXtEncoder(str(tiny(vision)), **arguments)


def test_the_vit_encoder_says_that_it_takes_no_convnext():
    with pytest.raises(ValueError, match=r"cannot be used with OpenCLIPEncoder.*timm's convnext"):
        OpenCLIPEncoder("convnext_base_w_320")


@pytest.mark.parametrize(
    ("given", "padded"), [((50, 77), (64, 96)), ((64, 32), (64, 32)), ((3, 500), (32, 512))]
)
@torch.no_grad()
def test_padding_in_place_of_resizing(tiny, given, padded):
    """Zeros after normalising, at the bottom and on the right."""
    path = str(tiny(LINEAR))
    image = torch.randint(0, 256, (2, 3, *given), dtype=torch.uint8)
    encoder = OpenCLIPConvNeXtEncoder(path, levels=(0, 3), fit="pad").eval()
    features = encoder.encode_image(image)
    assert (features.padding.padded, features.padding.image) == (padded, given)
    x = F.pad(normalised(image), (0, padded[1] - given[1], 0, padded[0] - given[0]))
    x = encoder.clip.visual.trunk.stem(x)
    x = encoder.clip.visual.trunk.stages[0](x)
    torch.testing.assert_close(features.levels[0], x)
    assert features.levels[1].shape[2:] == (padded[0] // 32, padded[1] // 32)


def test_padding_goes_without_a_size(tiny):
    with pytest.raises(ValueError, match=r"'pad' with image_size=None only, got 'pad' with .*64"):
        OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)), image_size=64, fit="pad")
    with pytest.raises(ValueError, match=r"expects fit of resize or pad.*'crop'"):
        OpenCLIPConvNeXtEncoder(str(tiny(LINEAR)), fit="crop")
    assert (
        OpenCLIPConvNeXtEncoder(str(tiny(LINEAR))).encode_image(torch.zeros(1, 3, 50, 50)).padding
        is None
    )
