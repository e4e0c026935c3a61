"""The image side against open_clip's own forward pass and against slow formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.weights import CLIP_MEAN, CLIP_STD
from ovss.io.shapes_only import shapes_only
from ovss.layers.patches import resize_positions

VARIANTS = {
    "plain": {},
    "quick_gelu": {"quick_gelu": True},
    "layer_scale": {"vision": {"ls_init_value": 0.3}},
    "not_square": {"vision": {"image_size": [24, 40]}},
    "average_pool": {"vision": {"pool_type": "avg"}},
    "norm_after_pool": {
        "vision": {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True}
    },
}


def normalised(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (CLIP_MEAN, CLIP_STD))
    return (image / 255 - mean) / std


@pytest.mark.parametrize("dense", ["cat_seg", "maskclip", "vanilla"])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_pooled_is_open_clips_own_whatever_the_dense_mode(tiny, reference, variant, dense):
    path = tiny(**VARIANTS[variant])
    module, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights), dense=dense, levels=(0, 1)).eval()
    image = 255 * torch.rand(2, 3, *module.visual.image_size)
    features = encoder.encode_image(image)
    taken = module.visual.forward_intermediates(normalised(image), indices=[0, 1])
    torch.testing.assert_close(features.pooled_BC, taken["image_features"], atol=2e-5, rtol=1e-4)
    for level, expected in zip(features.levels, taken["image_intermediates"], strict=True):
        torch.testing.assert_close(level, expected, atol=2e-5, rtol=1e-4)


def slow_last_block(module, image: Tensor, mode: str) -> Tensor:
    """Dense tokens (B, C, h, w), head by head and token by token, from the fused weights."""
    visual = module.visual
    x = visual._embeds(normalised(image))
    for block in visual.transformer.resblocks[:-1]:
        x = block(x)
    block = visual.transformer.resblocks[-1]
    y = block.ln_1(x)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    q, k, v = (y @ w.T + b for w, b in zip(weight.chunk(3), bias.chunk(3), strict=True))
    out = torch.zeros_like(v)
    size = q.shape[-1] // block.attn.num_heads
    for b in range(len(x)):
        for token in range(1, x.shape[1]):
            if mode != "vanilla":
                out[b, token] = v[b, token]
                continue
            for start in range(0, q.shape[-1], size):
                head = slice(start, start + size)
                scores = (k[b, :, head] @ q[b, token, head]) / size**0.5
                out[b, token, head] = scores.softmax(0) @ v[b, :, head]
    residual = x[:, :1] if mode == "cat_seg" else x[:, 1:]
    z = residual + block.ls_1(block.attn.out_proj(out[:, 1:]))
    z = z + block.ls_2(block.mlp(block.ln_2(z)))
    tokens = visual.ln_post(z) @ visual.proj
    return tokens.transpose(1, 2).unflatten(2, visual.grid_size)


@pytest.mark.parametrize("dense", ["cat_seg", "maskclip", "vanilla"])
@pytest.mark.parametrize("variant", ["layer_scale", "not_square"])
@torch.no_grad()
def test_dense_modes_against_a_slow_formula(tiny, reference, variant, dense):
    path = tiny(**VARIANTS[variant])
    module, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights), dense=dense).eval()
    image = 255 * torch.rand(2, 3, *module.visual.image_size)
    expected = slow_last_block(module, image, dense)
    torch.testing.assert_close(
        encoder.encode_image(image).dense_BChw, expected, atol=2e-5, rtol=1e-4
    )


@torch.no_grad()
def test_attention_is_the_mean_over_heads_and_blocks(tiny, reference):
    path = tiny()
    module, weights = reference(path)
    image = 255 * torch.rand(2, 3, 32, 32)
    x, each = module.visual._embeds(normalised(image)), []
    for block in module.visual.transformer.resblocks:
        y = block.ln_1(x)
        each.append(block.attn(y, y, y, need_weights=True)[1][:, 1:, 1:])
        x = block(x)
    for asked, blocks in ((True, (0, 1)), ((2,), (2,)), ((0, 2), (0, 2))):
        encoder = OpenCLIPEncoder(str(path), str(weights), attention=asked).eval()
        assert encoder.gives_attention
        expected = torch.stack([each[index] for index in blocks]).mean(0)
        features = encoder.encode_image(image)
        torch.testing.assert_close(features.attention_BNN, expected, atol=1e-5, rtol=1e-4)
        plain = OpenCLIPEncoder(str(path), str(weights)).eval().encode_image(image)
        torch.testing.assert_close(features.dense_BChw, plain.dense_BChw, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("image_size", "given", "grid"),
    [
        (None, (32, 32), (4, 4)),
        (None, (50, 77), (6, 10)),
        (None, (3, 500), (1, 62)),
        (64, (31, 45), (8, 8)),
        ((16, 48), (200, 90), (2, 6)),
    ],
)
@torch.no_grad()
def test_any_input_size(tiny, image_size, given, grid):
    encoder = OpenCLIPEncoder(str(tiny()), image_size=image_size, levels=(0,)).eval()
    features = encoder.encode_image(torch.randint(0, 256, (1, 3, *given), dtype=torch.uint8))
    assert features.dense_BChw.shape == (1, encoder.joint_dim, *grid)
    assert features.levels[0].shape == (1, *encoder.level_dims, *grid)
    assert features.dense_BChw.isfinite().all()


def test_a_grey_image_is_refused(tiny):
    encoder = OpenCLIPEncoder(str(tiny()))
    with pytest.raises(ValueError, match=r"Expected RGB images .*got \(1, 1, 32, 32\)"):
        encoder.encode_image(torch.zeros(1, 1, 32, 32))


@torch.no_grad()
def test_pixels_are_normalised_then_resized_without_antialiasing(tiny):
    encoder = OpenCLIPEncoder(str(tiny()), image_size=32).eval()
    image = 255 * torch.rand(1, 3, 90, 61)
    resized = F.interpolate(image, (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        encoder.encode_image(image).dense_BChw,
        encoder.encode_image(resized).dense_BChw,
        atol=1e-4,
        rtol=1e-4,
    )


def test_positions_resize_like_the_official_code_and_keep_the_class_token():
    positions = torch.randn(1 + 14 * 14, 8)
    resized = resize_positions(positions, (14, 14), (24, 10))
    grid = positions[1:].reshape(1, 14, 14, 8).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(24, 10), mode="bicubic", align_corners=False)
    expected = grid.reshape(8, 240).T
    assert torch.equal(resized[0], positions[0])
    torch.testing.assert_close(resized[1:], expected)
    assert resize_positions(positions, (14, 14), (14, 14)) is positions


def cubic(row: torch.Tensor, place: float) -> float:
    """Value of a row between two cells, by the cubic kernel with a = -0.75."""
    left, total = math.floor(place), 0.0
    for tap in range(left - 1, left + 3):
        x = abs(place - tap)
        weight = 1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
        total += weight * float(row[min(max(tap, 0), len(row) - 1)])
    return total


def test_positions_of_published_methods_are_sampled_differently():
    values = torch.rand(8)
    table = torch.cat([torch.full((2, 1), 9.0), values.expand(8, 8).reshape(64, 1)])

    def row(rule, length=12):
        resized = resize_positions(table, (8, 8), (8, length), rule, prefix=2)
        assert resized[:2].flatten().tolist() == [9.0, 9.0]
        return resized[2:].view(8, length)[4]

    def expected(divisor):
        return torch.tensor([cubic(values, (i + 0.5) * 8 / divisor - 0.5) for i in range(12)])

    torch.testing.assert_close(row("bicubic"), expected(12))
    torch.testing.assert_close(row("scale_factor"), expected(12.1))
    line = F.interpolate(values[None, None], 12, mode="linear")[0, 0]
    torch.testing.assert_close(row("bilinear"), line)
    values = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0])  # stripes: a small grid averages or hits
    table = torch.cat([torch.full((2, 1), 9.0), values.expand(8, 8).reshape(64, 1)])
    spread = {rule: row(rule, 3).sub(0.5).abs().max() for rule in ("antialias", "bicubic")}
    assert spread["antialias"] < 0.2 < spread["bicubic"]


def test_pixels_that_fill_no_patch_are_cut_off(tiny):
    encoder = OpenCLIPEncoder(str(tiny()), fit="crop").eval()
    patch = encoder.patch_size[0]
    image = 255 * torch.rand(1, 3, 3 * patch + 1, 5 * patch - 1)
    found, expected = (
        encoder.encode_image(x).dense_BChw for x in (image, image[..., : 3 * patch, : 4 * patch])
    )
    assert found.shape[2:] == (3, 4)
    assert torch.equal(found, expected)
    assert encoder.encode_image(image[..., :2]).dense_BChw.shape[2:] == (3, 1)
    with pytest.raises(ValueError, match=r"OpenCLIPEncoder\.fit must be 'resize' or 'crop'"):
        OpenCLIPEncoder(str(tiny()), fit="pad")


def test_unknown_rule_for_positions_is_named(tiny):
    with pytest.raises(ValueError, match=r"OpenCLIPEncoder\.positions must be one of bicubic"):
        OpenCLIPEncoder(str(tiny()), positions="cubic")


def last_block_flops(tiny_path, dense: str) -> int:
    with shapes_only():
        encoder = OpenCLIPEncoder(str(tiny_path), dense=dense)
    with FlopCounterMode(display=False) as counter:
        encoder.encode_image(torch.zeros(1, 3, 128, 128, device="meta"))
    return counter.get_total_flops()


def test_value_path_leaves_out_queries_and_keys_of_patches(tiny):
    width, tokens = 32, 1 + 16 * 16
    path = tiny({"layers": 1, "width": width, "image_size": 128})
    saved = last_block_flops(path, "vanilla") - last_block_flops(path, "maskclip")
    queries_and_keys, attention = 2 * 2 * tokens * width**2, 2 * 2 * tokens**2 * width
    assert saved > 0.9 * (queries_and_keys + attention)


def test_gradients_reach_every_trained_image_weight_through_dense_and_levels(tiny):
    encoder = OpenCLIPEncoder(str(tiny()), levels=(0,), dense="cat_seg", trainable="qv").train()
    features = encoder.encode_image(255 * torch.rand(1, 3, 32, 32))
    (features.dense_BChw.square().mean() + features.levels[0].mean()).backward()
    without = [
        name
        for name, parameter in encoder.clip.visual.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert without == ["transformer.resblocks.2.attn.q_proj_weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dense": "masklcip"}, "Choose one of cat_seg, maskclip, vanilla"),
        ({"levels": (0, 3)}, r"blocks \[3\], but the image tower has 0..2"),
        ({"attention": (-1,)}, r"blocks \[-1\]"),
        ({"image_size": 36}, r"nearest valid size is \(32, 32\)"),
        ({"trainable": "q"}, "Choose one of none, qv, attention, full"),
        ({"text_cache": "yes"}, "'disk', 'memory' or 'off'"),
    ],
)
def test_bad_arguments_say_what_is_allowed(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        OpenCLIPEncoder(str(tiny()), **arguments)
