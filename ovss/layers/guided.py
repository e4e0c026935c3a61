"""Guided projections and MLPs, shared by attention over space and over categories.

A linear map of the concatenation [feature; guidance] is the sum of two linear maps. The guidance
half is the same for every category (appearance) or for every location (text), so it is computed
once and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ovss.kernels.portions import Portions, equal_slices

from .linear import Linear, linear


class GuidedQKV(nn.Module):
    """Queries and keys from [feature; guidance], and values from the feature only.

    Args:
        dim: number of channels of feature, query, key and value.
        guide_dim: number of channels of the guidance.
    """

    def __init__(self, dim: int, guide_dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.query = Linear(dim + guide_dim, dim)
        self.key = Linear(dim + guide_dim, dim)
        self.value = Linear(dim, dim)

    def offset(self, guide: Tensor) -> Tensor:
        """(..., guide_dim) -> (..., 3 dim): the part that does not depend on the feature."""
        query, key = self.query, self.key
        weight = torch.cat([query.weight[:, self.dim :], key.weight[:, self.dim :]])
        halves = linear(guide, weight, torch.cat([query.bias, key.bias]))
        bias = self.value.bias.to(halves.dtype).expand(*halves.shape[:-1], -1)
        return torch.cat([halves, bias], dim=-1)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """(..., dim) and a broadcastable `offset` -> (..., 3 dim): query, key and value."""
        query, key = self.query.weight[:, : self.dim], self.key.weight[:, : self.dim]
        return linear(x, torch.cat([query, key, self.value.weight])).add_(offset)


def mlp(dim: int, hidden: int, activation: nn.Module) -> nn.Sequential:
    """MLP of two linear layers."""
    return MLP(Linear(dim, hidden), activation, Linear(hidden, dim))


class MLP(nn.Sequential):
    """Linear layer, activation, linear layer. Exact GELU and ReLU are fused into the first."""

    def forward(self, x: Tensor) -> Tensor:
        first, activation, second = self
        kind = _FUSED.get(repr(activation))
        if kind is None:
            return super().forward(x)
        assert isinstance(first, Linear)
        return second(linear(x, first.weight, first.bias, kind))


_FUSED = {repr(nn.GELU()): "gelu", repr(nn.ReLU()): "relu"}


def residual(x: Tensor, change: Tensor) -> Tensor:
    """Sum x + change, in the memory of `change` unless autocast gave it a narrower type."""
    return change.add_(x) if change.dtype == x.dtype else x + change


def map_chunks(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    size: int,
    dim: int = 0,
    portions: Portions | None = None,
) -> Tensor:
    """Applies `function` to slices along `dim` and concatenates the results.

    With gradients it uses a single slice, because autograd keeps the activations of all slices.

    Args:
        function: function of a slice, whose result has as many entries along `dim`.
        x: tensor to slice.
        size: largest number of entries of a slice, where it is not measured.
        dim: axis to slice.
        portions: sizes of slices that were measured on this CPU, around `size`.
    """

    def of_slice(own: slice) -> Tensor:
        return function(x.narrow(dim, own.start, own.stop - own.start))

    shape = (*x.shape[:dim], *x.shape[dim + 1 :])
    return map_slices(of_slice, x, size, shape, dim, portions)


def map_slices(
    function: Callable[[slice], Tensor],
    like: Tensor,
    size: int,
    shape: tuple[int, ...],
    dim: int = 0,
    portions: Portions | None = None,
) -> Tensor:
    """Applies `function` to slices of the axis `dim` of several tensors, see `map_chunks`.

    Args:
        function: function of a slice, whose result has as many entries along `dim`.
        like: one of the tensors.
        size, dim, portions: see `map_chunks`.
        shape: class of the tensors' shapes, see `Portions.__call__`.
    """
    total = like.shape[dim]
    alone = portions is None or like.device.type != "cpu"
    # a graph has no loop over a number of entries that it learns when it runs
    together = torch.is_grad_enabled() or torch.compiler.is_compiling()
    if together or (alone and total <= size):
        return function(slice(0, total))
    if portions is None or alone:
        slices: Iterable[slice] = equal_slices(0, total, size)
    else:
        slices = portions(total, size, shape)
    out = like.new_empty(0)
    for own in slices:
        part = function(own)
        if own == slice(0, total):
            out = part  # not returned, so that `portions` learns how long it took
            continue
        if own.start == 0:
            out = part.new_empty((*part.shape[:dim], total, *part.shape[dim + 1 :]))
        out.narrow(dim, own.start, part.shape[dim]).copy_(part)
    return out


def map_rows(
    function: Callable[[Tensor, Tensor | None], Tensor],
    x_N: Tensor,
    image_N: Tensor | None,
    size: int,
    portions: Portions | None = None,
) -> Tensor:
    """Applies `function` to at most `size` maps at a time, with the images that they belong to.

    With gradients it uses all maps at once, see `map_chunks`.

    Args:
        function: function of some maps and the image of each; None if they share one.
        x_N: maps (N, ...).
        image_N: image of each map; None if they share one.
        size: number of maps.
        portions: see `map_chunks`; for maps that share an image.
    """
    if image_N is None:
        return map_chunks(lambda part: function(part, None), x_N, size, portions=portions)
    if torch.is_grad_enabled() or x_N.shape[0] <= size:
        return function(x_N, image_N)
    parts = zip(x_N.split(size), image_N.split(size), strict=True)
    return torch.cat([function(*part) for part in parts])
