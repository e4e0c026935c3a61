"""Linear maps with the fastest available kernel.

On a CPU, PyTorch computes float32 linear maps with its BLAS library, which does not use the full
vector width of some processors. oneDNN, which PyTorch uses for convolutions, does. If PyTorch
includes oneDNN, large linear maps use it here, both forward and backward. Results differ from
PyTorch's only by rounding, because sums are computed in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Linear", "by_onednn", "linear"]

_WORTH_IT = 1 << 18
"""Number of multiply-accumulates below which the overhead of the call outweighs its speed."""


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "relu": F.relu,
}


class Linear(nn.Linear):
    """`nn.Linear` computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none"
) -> Tensor:
    """Linear map with an optional activation, like `torch.nn.functional.linear`.

    Args:
        x: input (..., i).
        weight: matrix (o, i).
        bias: bias (o,), or None.
        activation: ``none``, ``gelu`` (exact) or ``relu``. Without gradients it is fused into the
            linear map.

    >>> linear(torch.ones(2, 3), torch.eye(3)[:2]).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    if not by_onednn(x, weight):
        return _ACTIVATIONS[activation](F.linear(x, weight, bias))
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        rows = _Linear.apply(x.flatten(0, -2), weight, bias)
        return _ACTIVATIONS[activation](rows.view(*x.shape[:-1], len(weight)))
    return _onednn(x, weight, bias, activation)


def by_onednn(x: Tensor, weight: Tensor) -> bool:
    """True if `linear` computes this product with oneDNN."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.ndim > 1
        and x.numel() * len(weight) >= _WORTH_IT
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and _available()
    )


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # oneDNN has only a slow reference kernel for other strides
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")


class _Linear(torch.autograd.Function):
    """Differentiable oneDNN product of rows (N, i) with a matrix (o, i)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = linear(grad, weight.t())
        if ctx.needs_input_grad[1]:
            grad_weight = linear(grad.t(), x.t())
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum(0)
        return grad_x, grad_weight, grad_bias
