"""Multi-head attention with the fastest available kernel, optionally with its weights.

On a CPU with AVX-512 and without gradients, long sequences are processed one head at a time with
the matrix product of `linear`, so the attention weights of a head stay in the cache while they are
used. Without AVX-512 this is done only if the weights are asked for. Everything else uses the
backend's fused kernel, which does not return weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import by_onednn, linear

__all__ = ["attend", "attend_with_weights", "mean_weights"]

_LONG = 1 << 16
"""Number of token pairs from which the fused kernel of the CPU is slower."""


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
    masked = causal or allowed is not None
    if masked or _fused_is_faster() or not _uses_loop(query, key):
        return F.scaled_dot_product_attention(query, key, value, allowed, is_causal=causal)
    return _loop(query, key, value, None)


def attend_with_weights(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Output of `attend`, and the weights averaged over heads, (B, N, M)."""
    if not _uses_loop(query, key):
        weights = _weights(query, key)
        return weights @ value, weights.mean(1)
    mean_BNM = query.new_zeros(len(query), query.shape[2], key.shape[2])
    out = _loop(query, key, value, mean_BNM)
    return out, mean_BNM.div_(query.shape[1])


def mean_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights of `attend` averaged over heads, (B, N, M)."""
    if not _uses_loop(query, key):
        return _weights(query, key).mean(1)
    mean_BNM = query.new_zeros(len(query), query.shape[2], key.shape[2])
    _loop(query, key, None, mean_BNM)
    return mean_BNM.div_(query.shape[1])


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)).softmax(-1)


def _uses_loop(query: Tensor, key: Tensor) -> bool:
    """True if a loop over heads is faster than the fused kernel."""
    pairs = query.shape[-2] * key.shape[-2]
    return not torch.is_grad_enabled() and pairs >= _LONG and by_onednn(query, key[0, 0])


def _fused_is_faster() -> bool:
    """True if the fused kernel of the CPU is faster at any length, as measured with AVX2.

    The loop uses the full vector width of AVX-512, which the fused kernel does not.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _loop(query: Tensor, key: Tensor, value: Tensor | None, total_BNM: Tensor | None) -> Tensor:
    """Computes one head at a time and adds its weights to `total_BNM`."""
    query, key = (query * query.shape[-1] ** -0.5).contiguous(), key.contiguous()
    out_BNhd = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    value = None if value is None else value.contiguous()
    for image in range(len(query)):
        for head in range(query.shape[1]):
            weights_NM = linear(query[image, head], key[image, head]).softmax(-1)
            if total_BNM is not None:
                total_BNM[image] += weights_NM
            if value is not None:
                out_BNhd[image, :, head] = linear(weights_NM, value[image, head].t())
    return out_BNhd.transpose(1, 2)
