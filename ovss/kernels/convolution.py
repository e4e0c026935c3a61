"""Kernels of wide convolutions and of those to one channel, which a direct kernel serves badly.

A k x k convolution takes k^2 multiplications for each output, pairs of channels and cell. In the
frequency domain it takes one complex multiplication, so on processors whose direct kernel is slow
the FFT wins from about 5 x 5 on. Both agree within 2e-6 of the largest output.

A convolution to a single channel uses one lane of a vector. As a product of the k^2 weights with
the cells, whose results are shifted and added, it uses all of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .derived import Derived
from .linear import can_tune, product
from .operation import Kernel, Operation, size_class

__all__ = ["CONVOLUTION", "TO_ONE_CHANNEL", "convolve", "convolve_to_one"]

_WIDE = 5
_WORTH_IT = 1 << 24  # multiply-accumulates of the direct kernel


def convolve(x_NChw: Tensor, weight: Tensor, bias: Tensor | None, spectra: Derived) -> Tensor:
    """Convolution with stride 1 and zeros at the border, so that the size stays the same.

    Args:
        x_NChw: maps.
        weight: weights (O, C, k, k), k odd.
        bias: bias (O,), or None.
        spectra: cache of the spectrum of `weight`, one for each convolution.
    """
    if not _worth_a_choice(x_NChw, weight):
        return _direct(x_NChw, weight, bias, spectra)
    size = "x".join(map(str, x_NChw.shape[2:]))
    widths = "x".join(map(str, weight.shape))
    shape = f"{size_class(x_NChw.shape[0])}x{size}", widths
    return CONVOLUTION(shape, x_NChw, weight, bias, spectra)


def _worth_a_choice(x_NChw: Tensor, weight: Tensor) -> bool:
    return (
        x_NChw.device.type == "cpu"
        and x_NChw.dtype == weight.dtype == torch.float32
        and weight.shape[-1] >= _WIDE
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and x_NChw.shape[0] * x_NChw[0, 0].numel() * weight.numel() >= _WORTH_IT
    )


def convolve_to_one(x_NChw: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution to one channel with stride 1 that keeps the size, (N, 1, h, w).

    Args:
        x_NChw: maps.
        weight: weights (1, C, k, k), k odd.
        bias: bias (1,), or None.
    """
    rows = x_NChw.permute(0, 2, 3, 1)
    if torch.is_grad_enabled() or not can_tune(rows, weight.flatten(1)):
        return _one_direct(x_NChw, weight, bias)
    layout = "last" if rows.is_contiguous() else "first"
    cells = size_class(rows[..., 0].numel())
    return TO_ONE_CHANNEL((cells, weight.shape[1], weight.shape[-1], layout), x_NChw, weight, bias)


def _one_direct(x_NChw: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x_NChw, weight, bias, padding=weight.shape[-1] // 2)


def _one_by_taps(x_NChw: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    side, (count, _, height, width) = weight.shape[-1], x_NChw.shape
    rows_MC = x_NChw.permute(0, 2, 3, 1).flatten(0, 2)
    taps_SC = weight[0].flatten(1).t().contiguous()
    taps_SNhw = product(taps_SC, rows_MC).view(-1, count, height, width)
    taps_SNhw = F.pad(taps_SNhw, (side // 2,) * 4)
    out_Nhw = x_NChw.new_zeros(count, height, width)
    if bias is not None:
        out_Nhw += bias
    for number, tap_Nhw in enumerate(taps_SNhw):
        row, column = divmod(number, side)
        out_Nhw += tap_Nhw[:, row : row + height, column : column + width]
    return out_Nhw[:, None]


def _direct(x_NChw: Tensor, weight: Tensor, bias: Tensor | None, spectra: Derived) -> Tensor:
    return F.conv2d(x_NChw, weight, bias, padding=weight.shape[-1] // 2)


def _by_fft(x_NChw: Tensor, weight: Tensor, bias: Tensor | None, spectra: Derived) -> Tensor:
    (count, _, height, width), side = x_NChw.shape, weight.shape[-1]
    down, across = _fast_length(height + side - 1), _fast_length(width + side - 1)

    def spectrum(weight_OCkk: Tensor) -> Tensor:
        # F.conv2d correlates; flipped weights make the product of spectra do the same
        found = torch.fft.rfft2(weight_OCkk.flip(2, 3), s=(down, across))
        return found.flatten(2).permute(2, 1, 0).contiguous()

    weight_FCO = spectra.get(weight, (down, across), spectrum)
    x_FNC = torch.fft.rfft2(x_NChw, s=(down, across)).flatten(2).permute(2, 0, 1).contiguous()
    out_NOF = torch.bmm(x_FNC, weight_FCO).permute(1, 2, 0).contiguous()
    out_NOf = out_NOF.view(count, len(weight), down, across // 2 + 1)
    border = side // 2
    out = torch.fft.irfft2(out_NOf, s=(down, across))
    out = out[:, :, border : border + height, border : border + width]
    return out.contiguous() if bias is None else out + bias[:, None, None]


def _fast_length(length: int) -> int:
    """Smallest length at or above this one that has no prime factor above 5.

    >>> [_fast_length(n) for n in (30, 31, 42)]
    [30, 32, 45]
    """
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _fixed(*_: object) -> str:
    """Without measurement: by FFT where convolutions lack the full vector width."""
    return "fft" if torch.backends.cpu.get_cpu_capability() == "AVX2" else "direct"


CONVOLUTION = Operation("convolution", (Kernel("direct", _direct), Kernel("fft", _by_fft)), _fixed)
"""Same-size convolution with stride 1, see `convolve`."""

TO_ONE_CHANNEL = Operation(
    "convolution_to_one",
    (Kernel("direct", _one_direct), Kernel("by_taps", _one_by_taps)),
    lambda *_: "by_taps",
)
"""Same-size convolution to one channel with stride 1, see `convolve_to_one`."""
