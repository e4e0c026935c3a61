"""Training-free dense modes against slow formulas: fused weights, loops over heads and tokens,
nothing shared with the encoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.dense import DENSE_MODES
from ovss.encoders.dense_calibrated import _above_mean, outlier_factor
from ovss.encoders.weights import CLIP_MEAN, CLIP_STD

SHAPES = {
    "plain": {},
    "quick_gelu": {"quick_gelu": True},
    "layer_scale": {"vision": {"ls_init_value": 0.3}},
    "not_square": {"vision": {"image_size": [24, 40]}},
}


class Slow:
    """One image through open_clip's module, a block at a time; lists instead of batches."""

    def __init__(self, visual, image_3HW: Tensor) -> None:
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (CLIP_MEAN, CLIP_STD))
        self.visual, self.blocks = visual, visual.transformer.resblocks
        tokens = visual._embeds(((image_3HW / 255 - mean) / std)[None])
        self.inputs = []
        for block in self.blocks:
            self.inputs.append(tokens[0])
            tokens = block(tokens)
        self.output = tokens[0]

    def qkv(self, index: int) -> list[list[Tensor]]:
        """[q, k, v][head], each (N, d), and the scale of pre-training."""
        block = self.blocks[index]
        fused = block.ln_1(self.inputs[index]) @ block.attn.in_proj_weight.T
        fused = fused + block.attn.in_proj_bias
        size = fused.shape[1] // 3 // block.attn.num_heads
        return [
            [part[:, i * size : (i + 1) * size] for i in range(block.attn.num_heads)]
            for part in fused.split(fused.shape[1] // 3, dim=1)
        ]

    def projected(self, index: int, heads: list[Tensor]) -> Tensor:
        block = self.blocks[index]
        return block.ls_1(block.attn.out_proj(torch.cat(heads, dim=1)))

    def mlp(self, index: int, x: Tensor) -> Tensor:
        block = self.blocks[index]
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def dense(self, tokens_ND: Tensor) -> Tensor:
        joint_NC = self.visual.ln_post(tokens_ND) @ self.visual.proj
        return joint_NC[1:].T.unflatten(1, self.visual.grid_size)


def softmax_rows(x_Nd: Tensor, factor: float, bias: Tensor | None = None) -> Tensor:
    """Row by row: exp(factor x_i . x_j + bias_ij), normalised."""
    rows = []
    for i in range(len(x_Nd)):
        row = torch.stack([factor * (x_Nd[i] * x_Nd[j]).sum() for j in range(len(x_Nd))])
        row = (row if bias is None else row + bias[i]).double().exp()
        rows.append((row / row.sum()).float())
    return torch.stack(rows)


def slow_sclip(slow: Slow) -> Tensor:
    last = len(slow.blocks) - 1
    heads = []
    for q, k, v in zip(*slow.qkv(last), strict=True):
        factor = 1 / math.sqrt(q.shape[1])
        heads.append((softmax_rows(q, factor) + softmax_rows(k, factor)) @ v)
    return slow.mlp(last, slow.inputs[last] + slow.projected(last, heads))


def slow_clearclip(slow: Slow) -> Tensor:
    last = len(slow.blocks) - 1
    q, _, v = slow.qkv(last)
    heads = [softmax_rows(a, a.shape[1] ** -0.5) @ b for a, b in zip(q, v, strict=True)]
    return slow.projected(last, heads)


def slow_naclip(slow: Slow, std: float = 5.0) -> Tensor:
    last = len(slow.blocks) - 1
    _, k, v = slow.qkv(last)
    height, width = slow.visual.grid_size
    bias = torch.zeros(1 + height * width, 1 + height * width)
    for i in range(height * width):
        for j in range(height * width):
            down, right = i // width - j // width, i % width - j % width
            bias[1 + i, 1 + j] = math.exp(-(down**2 + right**2) / (2 * std**2))
    heads = [softmax_rows(a, a.shape[1] ** -0.5, bias) @ b for a, b in zip(k, v, strict=True)]
    return slow.projected(last, heads)


def slow_clip_surgery(slow: Slow, depth: int) -> Tensor:
    first = len(slow.blocks) - depth
    tokens = slow.inputs[first]
    for index in range(first, len(slow.blocks)):
        _, _, v = slow.qkv(index)
        tokens = tokens + slow.projected(
            index, [softmax_rows(b, b.shape[1] ** -0.5) @ b for b in v]
        )
    return tokens


def slow_gem(slow: Slow, depth: int, iterations: int = 1, inv_temperature=None) -> Tensor:
    first = len(slow.blocks) - depth
    tokens = slow.inputs[first]
    for index in range(first, len(slow.blocks)):
        normed = slow.blocks[index].ln_1(slow.inputs[index])
        qkv = slow.qkv(index)
        size = qkv[0][0].shape[1]
        factor = inv_temperature
        if factor is None:
            factor = sum(float(row.norm()) for row in normed) / len(normed) / math.sqrt(size)
        heads = []
        for head in range(len(qkv[0])):
            total = torch.zeros_like(qkv[2][head])
            for part in qkv:
                x = part[head]
                for _ in range(iterations):
                    unit = torch.stack([row / row.norm() for row in x])
                    x = softmax_rows(unit, factor) @ unit
                unit = torch.stack([row / row.norm() for row in x])
                total = total + softmax_rows(unit, factor) @ qkv[2][head]
            heads.append(total / 3)
        tokens = tokens + slow.projected(index, heads)
    return tokens


def slow_outliers(rows: Tensor, neighbours: int, share: float) -> list[int]:
    """Cells whose simplified local outlier factor is above the quantile."""
    count = len(rows)
    distance = [[float((a - b).square().sum()) for b in rows] for a in rows]
    near = [
        sorted((j for j in range(count) if j != i), key=lambda j, i=i: distance[i][j])[:neighbours]
        for i in range(count)
    ]
    far = [distance[i][near[i][-1]] for i in range(count)]
    factor = [sum(far[i] / far[j] for j in near[i]) / len(near[i]) for i in range(count)]
    limit = torch.tensor(factor).quantile(1 - share)
    return [i for i in range(count) if factor[i] > limit]


def slow_repair(rows: Tensor, outliers: list[int], width: int) -> Tensor:
    fixed = rows.clone()
    for i in outliers:
        y, x = divmod(i, width)
        around = [
            v * width + u
            for v in range(max(y - 1, 0), min(y + 2, len(rows) // width))
            for u in range(max(x - 1, 0), min(x + 2, width))
        ]
        good = [j for j in around if j not in outliers]
        if good:
            fixed[i] = torch.stack([rows[j] for j in good]).mean(0)
    return fixed


def slow_mean(cosines: Tensor, values: Tensor, threshold: float) -> Tensor:
    """Mean of values over the cells with a cosine from the threshold."""
    out = []
    for row in cosines:
        kept = [(float(c), value) for c, value in zip(row, values, strict=True) if c >= threshold]
        total = sum(c for c, _ in kept) + 1e-6
        out.append(sum(c * value for c, value in kept) / total)
    return torch.stack(out)


def slow_sc_clip(
    slow: Slow, depth, semantic, levels, neighbours=6, contamination=0.2, threshold=0.4,
    class_weight=0.3,
) -> Tensor:  # fmt: skip
    first, last = len(slow.blocks) - depth, len(slow.blocks) - 1
    block, width = slow.blocks[last], slow.visual.grid_size[1]
    unit = torch.nn.functional.normalize
    outliers = slow_outliers(slow.inputs[last][1:], neighbours, contamination)
    feature = unit(slow_repair(slow.inputs[last + 1 - semantic][1:], outliers, width), dim=1)
    same = feature @ feature.T
    early = unit(slow.inputs[first][1:], dim=1)
    early = early @ early.T

    def attended(tokens: Tensor, class_token: Tensor) -> Tensor:
        fused = block.ln_1(tokens) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
        _, key, value = fused.chunk(3, dim=1)
        size = key.shape[1] // block.attn.num_heads
        above = (3 * (same - same.mean())).double()
        weights = torch.where(above < 0, 0.0, above.exp())
        weights = (weights / weights.sum(1, keepdim=True)).float()
        heads = [
            (softmax_rows(k, size**-0.5) + weights) / 2 @ v
            for k, v in zip(key.split(size, 1), value.split(size, 1), strict=True)
        ]
        out = slow.projected(last, heads) + class_weight * class_token
        return slow_mean(early, out, threshold)

    tokens = slow_repair(slow.inputs[last][1:], outliers, width)
    tokens = slow_mean(same, tokens, threshold)
    total = sum(slow.inputs[first + i] for i in range(levels))
    patches = attended(tokens, slow.inputs[last][0]) + attended(total[1:], total[0])
    return torch.cat([slow.inputs[last][:1], patches])


CALIBRATED = {"depth": 3, "semantic": 2, "levels": 2, "neighbours": 6, "contamination": 0.2}
CASES = {
    "sc_clip": ("sc_clip", slow_sc_clip, CALIBRATED),
    "sclip": ("sclip", slow_sclip, {}),
    "clearclip": ("clearclip", slow_clearclip, {}),
    "naclip": ("naclip", slow_naclip, {}),
    "naclip_narrow": ("naclip", slow_naclip, {"std": 0.7}),
    "clip_surgery_1": ("clip_surgery", slow_clip_surgery, {"depth": 1}),
    "clip_surgery_all": ("clip_surgery", slow_clip_surgery, {"depth": 3}),
    "gem_1": ("gem", slow_gem, {"depth": 1}),
    "gem_2": ("gem", slow_gem, {"depth": 2, "iterations": 2}),
    "gem_plain": ("gem", slow_gem, {"depth": 2, "iterations": 0, "inv_temperature": 3.0}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_dense_mode_equals_its_slow_formula(tiny, reference, shape, case):
    name, formula, arguments = CASES[case]
    path = tiny(**SHAPES[shape])
    module, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights), dense=dict(type=name, **arguments)).eval()
    images = 255 * torch.rand(2, 3, *module.visual.image_size)
    features = encoder.encode_image(images)
    for index, image_3HW in enumerate(images):
        slow = Slow(module.visual, image_3HW)
        expected = slow.dense(formula(slow, **arguments))
        torch.testing.assert_close(features.dense_BChw[index], expected, atol=2e-5, rtol=1e-4)
        pooled = module.visual.ln_post(slow.output[:1]) @ module.visual.proj
        torch.testing.assert_close(features.pooled_BC[index], pooled[0], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", DENSE_MODES)
@torch.no_grad()
def test_every_mode_takes_any_grid_and_keeps_images_apart(tiny, name):
    dense = dict(type=name, depth=2) if name in ("gem", "clip_surgery", "sc_clip") else name
    encoder = OpenCLIPEncoder(str(tiny()), dense=dense, levels=(0, 2)).eval()
    images = 255 * torch.rand(2, 3, 48, 72)
    both = encoder.encode_image(images).dense_BChw
    assert both.shape[2:] == (6, 9)
    torch.testing.assert_close(encoder.encode_image(images[1:]).dense_BChw, both[1:])
    half = encoder.bfloat16().encode_image(images).dense_BChw.float()
    assert torch.nn.functional.cosine_similarity(half, both).min() > 0.9


@torch.no_grad()
def test_a_cell_can_always_attend_to_itself():
    """Cells that are alike but for rounding, as in an image of one colour without positions."""
    same = torch.ones(1, 5, 5) - 1e-7 * torch.rand(1, 5, 5)
    assert _above_mean(same).isfinite().all()
    assert outlier_factor(torch.ones(2, 5, 3), 30).isfinite().all()
    assert outlier_factor(torch.ones(2, 1, 3), 30).tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("dense", "error", "message"),
    [
        ("slcip", ValueError, r"dense mode 'slcip'. Did you mean '\w*clip'\? Choose one of cat"),
        (dict(std=5.0), ValueError, "Unknown dense mode None"),
        (dict(type="naclip", sdt=5.0), TypeError, r"Did you mean 'std' .*.*std: 'float' = 5.0"),
        (dict(type="clearclip", std=5.0), TypeError, r"clearclip\(last"),
        (
            dict(type="naclip", std=-1),
            ValueError,
            "std of .* at least 0, got -1",
        ),
        (dict(type="gem", iterations=1.5), TypeError, "iterations must be an integer, got 1.5"),
        (
            dict(type="gem", depth=2, inv_temperature=-1.0),
            ValueError,
            "inv_temperature of",
        ),
        ("gem", ValueError, r"gem reads the last 6 blocks.*tower has 3.*depth=N.*1\.\.3"),
        (dict(type="clip_surgery", depth=0), ValueError, "reads the last 0 blocks"),
    ],
)
def test_wrong_dense_modes_are_refused_at_build(tiny, dense, error, message):
    with pytest.raises(error, match=message):
        OpenCLIPEncoder(str(tiny()), dense=dense)


def test_gradients_flow_through_a_second_path(tiny):
    dense = dict(type="gem", depth=2)
    encoder = OpenCLIPEncoder(str(tiny()), dense=dense, trainable="attention").train()
    encoder.encode_image(255 * torch.rand(1, 3, 32, 32)).dense_BChw.square().mean().backward()
    last = encoder.clip.visual.transformer.resblocks[-1].attn
    for weight in (last.q_proj_weight, last.k_proj_weight, last.v_proj_weight):
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
