"""Linear maps by the fastest kernel at hand: the same products, summed in another order.

On a CPU PyTorch gives float32 linear maps to its BLAS, which on processors of some makers leaves
half of their width unused; oneDNN, which it gives convolutions to, does not. Where oneDNN is part
of PyTorch, maps of some size go to it, forward and backward.
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
"""Multiply-accumulates below which a call's own cost outweighs the faster kernel."""


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "gelu": F.gelu,
    "relu": F.relu,
}


class Linear(nn.Linear):
    """`nn.Linear` by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none"
) -> Tensor:
    """As `torch.nn.functional.linear`: (..., i) by (o, i) -> (..., o), and an activation of it.

    Args:
        activation: ``none``, ``gelu`` (exact) or ``relu``; without gradients it is no pass over
            the memory of its own.

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
    """Whether `linear` of these leaves PyTorch's own way."""
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
        weight = weight.contiguous()  # for other strides oneDNN has a reference kernel only
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")


class _Linear(torch.autograd.Function):
    """Of rows: (N, i) by (o, i)."""

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
