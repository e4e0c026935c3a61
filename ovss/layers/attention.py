"""Multi-head attention with the fastest kernel of the machine, optionally with its weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ovss.kernels.attention import (
    ATTENTION,
    ATTENTION_WITH_WEIGHTS,
    WEIGHTS,
    attention_shape,
    worth_a_choice,
)

__all__ = ["attend", "attend_with_weights", "mean_weights"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causal: bool = False,
    allowed: Tensor | None = None,
) -> Tensor:
    """Computes ``softmax(q k' / sqrt(d)) v``, (B, heads, N, d).

    Args:
        query: queries (B, heads, N, d).
        key: keys (B, heads, M, d).
        value: values (B, heads, M, d).
        causal: True if no token may attend to a later one.
        allowed: False where a query must not attend to a key; broadcasts to (B, heads, N, M).
    """
    if causal or allowed is not None or not worth_a_choice(query, key):
        return F.scaled_dot_product_attention(query, key, value, allowed, is_causal=causal)
    return ATTENTION(attention_shape(query, key), query, key, value)


def attend_with_weights(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Output of `attend`, and the weights averaged over heads, (B, N, M)."""
    if not worth_a_choice(query, key):
        return ATTENTION_WITH_WEIGHTS.kernels["whole"].run(query, key, value)
    return ATTENTION_WITH_WEIGHTS(attention_shape(query, key), query, key, value)


def mean_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights of `attend` averaged over heads, (B, N, M)."""
    if not worth_a_choice(query, key):
        return WEIGHTS.kernels["whole"].run(query, key)
    return WEIGHTS(attention_shape(query, key), query, key)
