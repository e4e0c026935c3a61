"""Faster kernels: the same numbers as PyTorch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.kernels import attention as attention_kernels
from ovss.kernels import linear as linear_kernels
from ovss.layers import attention, linear
from ovss.layers.guided import mlp, residual
from ovss.layers.windows import WindowGrid, attend_in_windows


@pytest.fixture(autouse=True)
def _whatever_the_size(monkeypatch):
    monkeypatch.setattr(linear_kernels, "_WORTH_IT", 0)
    monkeypatch.setattr(attention_kernels, "_MANY", 0)


@pytest.mark.parametrize("part", [slice(0, 16), slice(8, 24), slice(0, 24)])
@pytest.mark.parametrize("turned", [False, True])
def test_linear_and_its_gradients(part, turned):
    torch.manual_seed(0)
    weight = torch.randn(20, 24, requires_grad=True)
    bias = torch.randn(20, requires_grad=True)
    x = torch.randn(3, 5, part.stop - part.start)
    x = (x.transpose(0, 1) if turned else x).requires_grad_()
    ours, plain = (f(x, weight[:, part], bias) for f in (linear.linear, F.linear))
    torch.testing.assert_close(ours, plain)
    weights = torch.randn_like(plain)
    gradients = (torch.autograd.grad(y, (x, weight, bias), weights) for y in (ours, plain))
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(linear.linear(x, weight[:, part]), plain - bias)


def test_linear_may_be_changed_in_place_and_keeps_to_mixed_precision():
    layer = linear.Linear(6, 4)
    x = torch.randn(2, 3, 6)
    layer(x).add_(1).sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.full((4,), 6.0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x.new_empty(0, 6)).shape == (0, 4)


def test_attention_head_by_head():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, n, 3, 8).transpose(1, 2) for n in (5, 7, 7))
    plain = F.scaled_dot_product_attention(query, key, value)
    weights = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1).mean(1)
    for context in (torch.no_grad(), torch.enable_grad()):
        with context:
            torch.testing.assert_close(attention.attend(query, key, value), plain)
            seen, mean = attention.attend_with_weights(query, key, value)
            torch.testing.assert_close(seen, plain)
            torch.testing.assert_close(mean, weights)
            torch.testing.assert_close(attention.mean_weights(query, key), weights)
    with torch.no_grad():
        causal = attention.attend(query, key[:, :, :5], value[:, :, :5], causal=True)
    torch.testing.assert_close(causal[:, :, :1], value[:, :, :1])


@pytest.mark.parametrize("side", [(8, 8), (9, 8), (4, 11), (3, 2), (16, 7)])
@pytest.mark.parametrize("shift", [0, 2])
def test_cut_windows_equal_masked_ones(side, shift):
    torch.manual_seed(0)
    grid = WindowGrid.of(*side, 4, shift)
    qkv = torch.randn(2, *side, 24)
    mask = grid.mask(2, qkv)
    if mask is None:
        mask = torch.zeros(1, 1)
    torch.testing.assert_close(
        attend_in_windows(qkv, grid, 2, None), attend_in_windows(qkv, grid, 2, mask)
    )


@pytest.mark.parametrize("activation", [nn.GELU(), nn.ReLU(), nn.GELU("tanh"), nn.SiLU()])
def test_an_mlp_is_its_three_layers_whatever_the_activation(activation):
    both, x = mlp(64, 256, activation), torch.randn(40, 64)
    with torch.no_grad():
        torch.testing.assert_close(both(x), both[2](activation(both[0](x))))


def test_a_residual_keeps_the_wider_type():
    x, moved = torch.randn(9), torch.randn(9).bfloat16()
    torch.testing.assert_close(residual(x, moved), x + moved.float(), rtol=0, atol=0)
    assert residual(x, moved.float()).dtype == torch.float32
