"""Linear maps with the fastest kernel of the machine, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ovss.kernels.linear import ACTIVATIONS, LINEAR, can_tune, linear_shape

__all__ = ["Linear", "linear"]


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
            linear map where the kernel can.

    >>> linear(torch.ones(2, 3), torch.eye(3)[:2]).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    if not can_tune(x, weight):
        return LINEAR.kernels["blas"].run(x, weight, bias, activation)
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        shape = linear_shape(x, weight, "none")
        if LINEAR.choose(shape, x, weight, bias, "none") == "blas":
            return LINEAR.kernels["blas"].run(x, weight, bias, activation)
        rows = _Linear.apply(x.flatten(0, -2), weight, bias)
        return ACTIVATIONS[activation](rows.view(*x.shape[:-1], weight.shape[0]))
    return LINEAR(linear_shape(x, weight, activation), x, weight, bias, activation)


class _Linear(torch.autograd.Function):
    """Differentiable product of rows (N, i) with a matrix (o, i) by a kernel without gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return LINEAR(linear_shape(x, weight, "none"), x, weight, bias, "none")

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
