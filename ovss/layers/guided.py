"""What both kinds of attention share: projections that see [feature; guidance], halves apart.

A linear map of a concatenation is the sum of two linear maps. The guidance half is the same for
every category (appearance) or for every location (text), so it is computed once and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .linear import Linear, linear


class GuidedQKV(nn.Module):
    """Queries and keys of [feature; guidance], values of the feature alone.

    Args:
        dim: channels of feature, query, key and value.
        guide_dim: channels of the guidance.
    """

    def __init__(self, dim: int, guide_dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.query = Linear(dim + guide_dim, dim)
        self.key = Linear(dim + guide_dim, dim)
        self.value = Linear(dim, dim)

    def offset(self, guide: Tensor) -> Tensor:
        """(..., guide_dim) -> (..., 3 dim): all that does not depend on the feature."""
        query, key = self.query, self.key
        weight = torch.cat([query.weight[:, self.dim :], key.weight[:, self.dim :]])
        halves = linear(guide, weight, torch.cat([query.bias, key.bias]))
        bias = self.value.bias.to(halves.dtype).expand(*halves.shape[:-1], -1)
        return torch.cat([halves, bias], dim=-1)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """(..., dim) and a broadcastable `offset` -> (..., 3 dim): query, key, value."""
        query, key = self.query.weight[:, : self.dim], self.key.weight[:, : self.dim]
        return linear(x, torch.cat([query, key, self.value.weight])).add_(offset)


def mlp(dim: int, hidden: int, activation: nn.Module) -> nn.Sequential:
    """Two linear layers."""
    return MLP(Linear(dim, hidden), activation, Linear(hidden, dim))


class MLP(nn.Sequential):
    """Linear, activation, linear; exact GELU and ReLU on the way out of the first."""

    def forward(self, x: Tensor) -> Tensor:
        first, activation, second = self
        kind = _ON_THE_WAY.get(repr(activation))
        if kind is None:
            return super().forward(x)
        assert isinstance(first, Linear)
        return second(linear(x, first.weight, first.bias, kind))


_ON_THE_WAY = {repr(nn.GELU()): "gelu", repr(nn.ReLU()): "relu"}


def residual(x: Tensor, moved: Tensor) -> Tensor:
    """x + moved, in the memory of `moved`; under autocast that is too narrow for the sum."""
    return moved.add_(x) if moved.dtype == x.dtype else x + moved


def map_chunks(function: Callable[[Tensor], Tensor], x: Tensor, size: int, dim: int = 0) -> Tensor:
    """`function` of slices of at most `size` along `dim`, put together again.

    With gradients the whole is one slice: autograd would keep every slice's activations anyway.
    """
    if torch.is_grad_enabled() or x.shape[dim] <= size:
        return function(x)
    out = x.new_empty(0)
    for start in range(0, x.shape[dim], size):
        done = function(x.narrow(dim, start, min(size, x.shape[dim] - start)))
        if start == 0:
            out = done.new_empty((*done.shape[:dim], x.shape[dim], *done.shape[dim + 1 :]))
        out.narrow(dim, start, done.shape[dim]).copy_(done)
    return out
