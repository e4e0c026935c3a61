"""FLOPs and parameters of single layers against the formulas of textbooks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ovss.benchmark.complexity import count_parameters, counted
from ovss.encoders.attention import Attention
from ovss.layers.linear import Linear


def flops(module: nn.Module, *inputs: torch.Tensor) -> int:
    with counted() as counter:
        module.eval()(*inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("kernel", "stride", "groups"), [(3, 1, 1), (3, 2, 1), (1, 1, 1), (7, 1, 4), (4, 4, 1)]
)
def test_a_convolution(kernel, stride, groups):
    channels, out, height, width = 4, 8, 12, 16
    padding = kernel // 2 if stride < 4 else 0
    layer = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups)
    outputs = [(side + 2 * padding - kernel) // stride + 1 for side in (height, width)]
    products = outputs[0] * outputs[1] * out * (channels // groups) * kernel**2
    assert flops(layer, torch.zeros(1, channels, height, width)) == 2 * products
    parameters = out * (channels // groups) * kernel**2 + out
    assert count_parameters(layer) == (parameters, parameters)


def test_a_transposed_convolution_spreads_every_input():
    layer = nn.ConvTranspose2d(6, 5, 2, stride=2)
    assert flops(layer, torch.zeros(3, 6, 7, 9)) == 2 * 3 * 7 * 9 * 6 * 5 * 2**2


@pytest.mark.parametrize("kind", [nn.Linear, Linear])
def test_a_linear_map(kind):
    layer = kind(24, 40)
    assert flops(layer, torch.zeros(5, 7, 24)) == 2 * 5 * 7 * 24 * 40
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == (24 * 40 + 40, 24 * 40)


def test_self_attention():
    tokens, width, heads = 11, 24, 3
    layer = Attention(width, heads)
    projections = 4 * tokens * width**2  # query, key, value and output
    products = 2 * tokens**2 * width  # queries with keys, weights with values
    found = flops(layer, torch.zeros(2, tokens, width))
    assert found == 2 * 2 * (projections + products)
    total = 4 * width**2 + 4 * width
    assert count_parameters(layer) == (total, total)
