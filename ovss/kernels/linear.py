"""Kernels of linear maps: PyTorch's BLAS library, and oneDNN.

On a CPU, PyTorch computes float32 linear maps with its BLAS library, which does not use the full
vector width of some processors. oneDNN, which PyTorch uses for convolutions, does; on others the
library is faster. Results differ only by rounding, because sums are computed in another order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .operation import Kernel, Operation, size_class

__all__ = ["ACTIVATIONS", "LINEAR", "can_tune", "linear_shape", "product"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "relu": F.relu,
}

_WORTH_IT = 1 << 18
"""Number of multiply-accumulates below which the overhead of a choice outweighs its speed."""


def can_tune(x: Tensor, weight: Tensor) -> bool:
    """True for float32 inputs (..., i) and matrices (o, i) on a CPU that are worth a choice."""
    return (
        not torch.compiler.is_compiling()  # first: sizes of a graph may be symbols
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.ndim > 1
        and x.numel() * weight.shape[0] >= _WORTH_IT
        and not torch.is_autocast_enabled("cpu")
    )


def linear_shape(x: Tensor, weight: Tensor, activation: str) -> tuple[object, ...]:
    """Class of shapes: number of rows up to a power of two, both widths, and what is strided."""
    layout = "rows" if x.is_contiguous() else "strided"
    turned = "" if weight.is_contiguous() else "-turned"
    rows = size_class(x.numel() // max(x.shape[-1], 1))
    return f"{rows}x{x.shape[-1]}x{len(weight)}", activation, layout + turned


def _by_blas(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    return ACTIVATIONS[activation](F.linear(x, weight, bias))


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # oneDNN has only a slow reference kernel for other strides
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")


def _has_onednn(*_: object) -> bool:
    """True if PyTorch has oneDNN's linear map, a private operator that a version may lack."""
    mkldnn = torch.backends.mkldnn
    available = mkldnn.is_available() and bool(mkldnn.enabled)
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


LINEAR = Operation(
    "linear",
    (Kernel("blas", _by_blas), Kernel("onednn", _by_onednn, _has_onednn)),
    lambda *_: "onednn" if _has_onednn() else "blas",
)
"""``activation(x weight' + bias)`` of x (..., i), weight (o, i), bias (o,) or None, activation."""


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x weight'`` of x (N, i) and weight (o, i), without gradients."""
    if not can_tune(x, weight):
        return F.linear(x, weight)
    return LINEAR(linear_shape(x, weight, "none"), x, weight, None, "none")
