"""Conjugate gradients for many right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    apply: Callable[[Tensor], Tensor], target: Tensor, iterations: int, tolerance: float, dim: int
) -> Tensor:
    """Solves ``A x = b`` for several right-hand sides, beginning with x = 0.

    A right-hand side is left alone once the length of its residual is below `tolerance` times its
    own length, as in scipy's ``cg``.

    Args:
        apply: product of the symmetric positive definite matrix A with a tensor like `target`.
        target: right-hand sides, a matrix.
        iterations: largest number of steps.
        tolerance: relative length of a residual.
        dim: axis of the matrix along which a right-hand side lies.
    """
    x, rest, step = torch.zeros_like(target), target.clone(), target.clone()
    size = rest.square().sum(dim, keepdim=True)
    limit = tolerance**2 * size
    for _ in range(iterations):
        moves = size > limit
        product = apply(step)
        curve = (step * product).sum(dim, keepdim=True)
        factor = torch.where(moves, size / torch.where(moves, curve, 1), 0)
        x += factor * step
        rest -= factor * product
        new = torch.where(moves, rest.square().sum(dim, keepdim=True), size)
        step = rest + torch.where(moves, new / torch.where(moves, size, 1), 0) * step
        size = new
    return x


def log_scores(probs_BKHW: Tensor) -> Tensor:
    """Logits of a softmax but for a constant of each pixel, which changes no arg max."""
    return probs_BKHW.float().clamp(min=torch.finfo(torch.float32).tiny).log()
