"""Every kernel gives the numbers of plain PyTorch."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.kernels import operations
from ovss.kernels.attention import ATTENTION, ATTENTION_WITH_WEIGHTS, WEIGHTS
from ovss.kernels.convolution import CONVOLUTION, TO_ONE_CHANNEL
from ovss.kernels.derived import Derived
from ovss.kernels.linear import ACTIVATIONS, LINEAR, product
from ovss.layers.convolution import ConvToOne, WideConv2d


def usable(operation, *inputs):
    return [k for k in operation.kernels.values() if k.usable(*inputs)]


def test_every_operation_is_covered_here():
    covered = {LINEAR, ATTENTION, ATTENTION_WITH_WEIGHTS, WEIGHTS, CONVOLUTION, TO_ONE_CHANNEL}
    ours = {o for o in operations().values() if o.fixed.__module__.startswith("ovss.")}
    assert ours == covered


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("layout", ["plain", "turned", "columns"])
def test_linear(activation, layout):
    weight = {
        "plain": torch.randn(20, 24),
        "turned": torch.randn(24, 20).t(),
        "columns": torch.randn(20, 50)[:, 3:27],
    }[layout]
    x, bias = torch.randn(3, 50, 24), torch.randn(20)
    plain = ACTIVATIONS[activation](F.linear(x, weight, bias))
    for kernel in usable(LINEAR, x, weight, bias, activation):
        torch.testing.assert_close(kernel.run(x, weight, bias, activation), plain)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_attention_and_its_weights(size):
    """Scores of up to some thousands, whose powers would overflow."""
    query, key, value = (torch.randn(2, n, 3, 8).transpose(1, 2) for n in (40, 70, 70))
    query, key = size * query, size * key
    before = [x.clone() for x in (query, key, value)]
    weights = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
    plain, mean = weights @ value, weights.mean(1)
    error = 1e-6 * max(1.0, size**2)  # rounding of a score, which grows with it
    close = partial(torch.testing.assert_close, rtol=error, atol=3 * error)
    with torch.no_grad():
        for kernel in ATTENTION.kernels.values():
            close(kernel.run(query, key, value), plain)
        for kernel in ATTENTION_WITH_WEIGHTS.kernels.values():
            out, mean_BNM = kernel.run(query, key, value)
            close(out, plain)
            close(mean_BNM, mean)
        for kernel in WEIGHTS.kernels.values():
            close(kernel.run(query, key), mean)
    for x, copied in zip((query, key, value), before):
        assert torch.equal(x, copied)


@pytest.mark.parametrize("side", [5, 7])
@pytest.mark.parametrize("size", [(24, 24), (11, 30), (3, 4)])
def test_convolution(side, size):
    layer = WideConv2d(6, 10, side)
    x = torch.randn(4, 6, *size)
    with torch.no_grad():
        plain = F.conv2d(x, layer.weight, layer.bias, padding=side // 2)
        for kernel in CONVOLUTION.kernels.values():
            found = kernel.run(x, layer.weight, layer.bias, Derived())
            assert (found - plain).abs().max() < 2e-6 * plain.abs().max()
            without = kernel.run(x, layer.weight, None, Derived())
            torch.testing.assert_close(
                without + layer.bias[:, None, None], plain, atol=1e-5, rtol=0
            )


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_convolution_to_one_channel(side, channels_last):
    weight, bias = torch.randn(1, 32, side, side), torch.randn(1)
    x = torch.randn(2, 32, 20, 30)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    plain = F.conv2d(x, weight, bias, padding=side // 2)
    with torch.no_grad():
        for kernel in TO_ONE_CHANNEL.kernels.values():
            torch.testing.assert_close(kernel.run(x, weight, bias), plain, atol=1e-4, rtol=1e-5)
            found = kernel.run(x, weight, None) + bias
            torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-5)


def test_a_convolution_to_one_channel_has_gradients():
    layer, x = ConvToOne(32), torch.randn(2, 32, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), atol=1e-5, rtol=1e-5)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_without_onednn_linear_maps_use_the_public_way():
    x, weight = torch.randn(64, 300), torch.randn(40, 300)
    with torch.backends.mkldnn.flags(enabled=False):
        assert LINEAR.fixed(x, weight, None, "none") == "blas"
        assert [kernel.name for kernel in usable(LINEAR, x, weight, None, "none")] == ["blas"]
        torch.testing.assert_close(product(x, weight), x @ weight.t())


def test_a_spectrum_follows_its_weights():
    layer, by_fft = WideConv2d(3, 4, 5), CONVOLUTION.kernels["fft"].run
    spectra, x = Derived(), torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        before = by_fft(x, layer.weight, layer.bias, spectra)
        layer.weight.data.mul_(2)  # as averaged weights are swapped in
        after = by_fft(x, layer.weight, None, spectra)
    torch.testing.assert_close(after, 2 * (before - layer.bias[:, None, None]))


def test_a_convolution_is_copied_and_saved_without_its_spectrum():
    layer = WideConv2d(3, 4, 5)
    layer._spectra.get(layer.weight, "key", lambda weight: weight + 1)
    assert not copy.deepcopy(layer)._spectra._values
    assert not pickle.loads(pickle.dumps(layer))._spectra._values
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_a_wide_convolution_has_gradients():
    layer = WideConv2d(3, 4, 5)
    layer(torch.randn(2, 3, 6, 6)).sum().backward()
    assert layer.weight.grad is not None
