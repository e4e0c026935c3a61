"""Kernels of multi-head attention, without its weights, with them, and of the weights alone.

The backend's fused kernel never stores the weights, but does not use the full vector width of some
processors and cannot return weights. One head at a time, the weights of a head stay in the cache
while they are used. Batches of heads make few calls for many short
sequences.

Queries, keys and values are (B, heads, N, d), (B, heads, M, d) and (B, heads, M, d). Weights are
means over heads, (B, N, M).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import can_tune, product
from .operation import Kernel, Operation, size_class

__all__ = ["ATTENTION", "ATTENTION_WITH_WEIGHTS", "WEIGHTS", "attention_shape", "worth_a_choice"]

_MANY = 1 << 16
"""Number of token pairs of all heads from which a choice is worth its overhead."""
_LONG = 1 << 16
"""Number of token pairs of one head from which the fused kernel is slower, by the fixed rule."""
_CACHED = 1 << 18
"""Number of scores that stay in the cache between their computation and their use."""
_SAFE_POWER = 60.0
"""Bound on scores whose powers of two, and sums of them, are far from overflow in float32."""

_Loop = Callable[[Tensor, Tensor, "Tensor | None", "Tensor | None"], Tensor]


def worth_a_choice(query: Tensor, key: Tensor) -> bool:
    """True for many pairs of float32 tokens on a CPU without gradients."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return _pairs(query, key) >= _MANY and can_tune(query, key)


def _pairs(query: Tensor, key: Tensor) -> int:
    return query[..., 0].numel() * key.shape[-2]


def attention_shape(query: Tensor, key: Tensor) -> tuple[object, ...]:
    """Class of shapes: lengths and number of heads up to a power of two, channels of a head."""
    heads = size_class(len(query) * query.shape[1])
    return f"{heads}x{size_class(query.shape[2])}x{size_class(key.shape[2])}", query.shape[3]


def _by_head(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    total_BNM: Tensor | None,
    step: Callable[[Tensor, Tensor | None, Tensor | None, Tensor | None], None],
) -> Tensor:
    """Computes one head at a time.

    Args:
        query: queries, scaled.
        key: keys.
        value: values; None if only weights are wanted.
        total_BNM: mean weights, to which every head is added; None if they are not wanted.
        step: function of scores (N, M), which it may overwrite, values, output and weights.
    """
    query, key = query.contiguous(), key.contiguous()
    out_BNhd = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    value = None if value is None else value.contiguous()
    for image in range(len(query)):
        total_NM = None if total_BNM is None else total_BNM[image]
        for head in range(query.shape[1]):
            scores_NM = product(query[image, head], key[image, head])
            if value is None:
                step(scores_NM, None, None, total_NM)
            else:
                step(scores_NM, value[image, head], out_BNhd[image, :, head], total_NM)
    return out_BNhd.transpose(1, 2)


def _softmax(
    scores_NM: Tensor, value_Md: Tensor | None, out_Nd: Tensor | None, total_NM: Tensor | None
) -> None:
    # the weights overwrite the scores, so that a head occupies the cache once
    weights_NM = torch.softmax(scores_NM, -1, out=scores_NM)
    if total_NM is not None:
        total_NM += weights_NM
    if value_Md is not None and out_Nd is not None:
        out_Nd.copy_(product(weights_NM, value_Md.t()))


def _powers_of_two(
    scores_NM: Tensor, value_Md: Tensor | None, out_Nd: Tensor | None, total_NM: Tensor | None
) -> None:
    """Weights before they are divided by their sum; the output is divided, which is smaller."""
    powers_NM = scores_NM.exp2_()
    sum_N1 = powers_NM.sum(1, keepdim=True)
    if value_Md is not None and out_Nd is not None:
        torch.div(product(powers_NM, value_Md.t()), sum_N1, out=out_Nd)
    if total_NM is not None:
        total_NM.addcdiv_(powers_NM, sum_N1)


def _below_maximum(
    scores_NM: Tensor, value_Md: Tensor | None, out_Nd: Tensor | None, total_NM: Tensor | None
) -> None:
    """`_powers_of_two` for scores of any size."""
    scores_NM -= scores_NM.amax(1, keepdim=True)
    _powers_of_two(scores_NM, value_Md, out_Nd, total_NM)


def _by_head_softmax(
    query: Tensor, key: Tensor, value: Tensor | None, total_BNM: Tensor | None
) -> Tensor:
    return _by_head(query * query.shape[-1] ** -0.5, key, value, total_BNM, _softmax)


def _by_head_exp2(
    query: Tensor, key: Tensor, value: Tensor | None, total_BNM: Tensor | None
) -> Tensor:
    """Softmax by powers of two, which some processors compute faster than those of e.

    A score is at most the product of the norms of query and key. Where that is far from overflow,
    the maximum of a row need not be found and subtracted.
    """
    step = _powers_of_two if _bound(query, key) < _SAFE_POWER else _below_maximum
    return _by_head(query * _log2_scale(query), key, value, total_BNM, step)


def _log2_scale(query: Tensor) -> float:
    """Scale of scores whose powers of two are the weights."""
    return math.log2(math.e) * query.shape[-1] ** -0.5


def _bound(query: Tensor, key: Tensor) -> float:
    """Bound on the absolute value of the scaled scores."""
    return float(query.norm(dim=-1).max() * key.norm(dim=-1).max()) * _log2_scale(query)


def _new_total(query: Tensor, key: Tensor) -> Tensor:
    return query.new_zeros(len(query), query.shape[2], key.shape[2])


def _all_weights(query: Tensor, key: Tensor) -> Tensor:
    return (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)).softmax(-1)


def _attend(loop: _Loop) -> Callable[..., Tensor]:
    return lambda query, key, value: loop(query, key, value, None)


def _attend_in_batches(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Some heads at a time by batched products, for many heads of few tokens."""
    if _bound(query, key) >= _SAFE_POWER:
        return F.scaled_dot_product_attention(query, key, value)
    shape = query.shape
    query = (query * _log2_scale(query)).flatten(0, 1)
    key, value = key.flatten(0, 1), value.flatten(0, 1)
    out_SNd = torch.empty_like(query, memory_format=torch.contiguous_format)
    size = max(1, _CACHED // (query.shape[1] * key.shape[1]))
    for start in range(0, len(query), size):
        part = slice(start, start + size)
        powers_SNM = torch.bmm(query[part], key[part].transpose(1, 2)).exp2_()
        sum_SN1 = powers_SNM.sum(-1, keepdim=True)
        torch.div(torch.bmm(powers_SNM, value[part]), sum_SN1, out=out_SNd[part])
    return out_SNd.view(shape)


def _attend_whole(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return _all_weights(query, key) @ value


def _both(loop: _Loop) -> Callable[..., tuple[Tensor, Tensor]]:
    def both(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        total_BNM = _new_total(query, key)
        out = loop(query, key, value, total_BNM)
        return out, total_BNM.div_(query.shape[1])

    return both


def _both_whole(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    weights = _all_weights(query, key)
    return weights @ value, weights.mean(1)


def _both_fused(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    out = F.scaled_dot_product_attention(query, key, value)
    return out, _weights(_by_head_softmax)(query, key)


def _weights(loop: _Loop) -> Callable[..., Tensor]:
    def weights(query: Tensor, key: Tensor) -> Tensor:
        total_BNM = _new_total(query, key)
        loop(query, key, None, total_BNM)
        return total_BNM.div_(query.shape[1])

    return weights


def _weights_whole(query: Tensor, key: Tensor) -> Tensor:
    return _all_weights(query, key).mean(1)


def _fixed(query: Tensor, key: Tensor, value: Tensor) -> str:
    """Without measurement: by head where the fused kernel lacks the full vector width."""
    is_short = query.shape[-2] * key.shape[-2] < _LONG
    fused = is_short or torch.backends.cpu.get_cpu_capability() == "AVX2"
    return "fused" if fused else "by_head_exp2"


def _fixed_weights(query: Tensor, key: Tensor, *_: Tensor) -> str:
    return "by_head_exp2" if query.shape[-2] * key.shape[-2] >= _LONG else "whole"


ATTENTION = Operation(
    "attention",
    (
        Kernel("fused", F.scaled_dot_product_attention),
        Kernel("by_head", _attend(_by_head_softmax)),
        Kernel("by_head_exp2", _attend(_by_head_exp2)),
        Kernel("batched_exp2", _attend_in_batches),
        Kernel("whole", _attend_whole),
    ),
    _fixed,
)
"""``softmax(q k' / sqrt(d)) v``, (B, heads, N, d)."""

ATTENTION_WITH_WEIGHTS = Operation(
    "attention_with_weights",
    (
        Kernel("by_head", _both(_by_head_softmax)),
        Kernel("by_head_exp2", _both(_by_head_exp2)),
        Kernel("whole", _both_whole),
        Kernel("fused", _both_fused),
    ),
    _fixed_weights,
)
"""Output of `ATTENTION` and the mean weights."""

WEIGHTS = Operation(
    "attention_weights",
    (
        Kernel("by_head", _weights(_by_head_softmax)),
        Kernel("by_head_exp2", _weights(_by_head_exp2)),
        Kernel("whole", _weights_whole),
    ),
    _fixed_weights,
)
"""Mean weights of `ATTENTION`."""
