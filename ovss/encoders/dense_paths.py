"""Ways of making dense tokens that read several of the last blocks: a second path beside the tower.

The tower goes on as it was pre-trained. Beside it, from the input of the first block that is read,
a second path adds up what self-self attention gives in each of these blocks; the queries, keys and
values are the tower's, and no MLP is applied:

    dense = input + sum over the blocks of projection(attention(q, k, v) v)
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ovss.layers.attention import attend

from .last_block import LastBlock

__all__ = ["clip_surgery", "gem"]


def clip_surgery(last: LastBlock, depth: int = 6) -> Tensor:
    """``softmax(v v') v`` in every block of the second path (CLIP Surgery, arXiv 2304.05653,
    section 3.2).

    Args:
        last: the last block and those before it.
        depth: how many of the last blocks have a second path; 6 in the authors' code.
    """
    return _second_path(last, [step.attend(step.heads(step.v_BND)) for step in _steps(last, depth)])


def gem(
    last: LastBlock, depth: int = 7, iterations: int = 1, inv_temperature: float | None = None
) -> Tensor:
    """Self-self attention of values, keys and queries, each refined, their mean (GEM, CVPR 2024,
    arXiv 2312.00878, section 3).

    Args:
        last: the last block and those before it.
        depth: how many of the last blocks have a second path; 7 in the authors' code for ViT-B.
        iterations: how often tokens move towards those like them before they say who attends to
            whom; 1 in the authors' code.
        inv_temperature: what cosines are multiplied by before each softmax. None, as published:
            mean length of the normed input tokens over sqrt(D / heads).
    """
    received = []
    for step in _steps(last, depth):
        factor = _inverse_temperature(step) if inv_temperature is None else inv_temperature
        parts = [
            _refined_attention(step, step.heads(part_BND), factor, iterations)
            for part_BND in (step.v_BND, step.k_BND, step.q_BND)
        ]
        received.append((parts[0] + parts[1] + parts[2]) / 3)
    return _second_path(last, received)


def _refined_attention(
    step: LastBlock, x_BHNd: Tensor, factor: Tensor | float, iterations: int
) -> Tensor:
    """``softmax(factor cos(x, x)) v`` after `x` was itself averaged so, `iterations` times."""
    root = (factor * x_BHNd.shape[-1] ** 0.5) ** 0.5  # attention divides by sqrt(d)
    for _ in range(iterations):
        unit_BHNd = F.normalize(x_BHNd, dim=-1)
        x_BHNd = attend(root * unit_BHNd, root * unit_BHNd, unit_BHNd)
    return step.attend(root * F.normalize(x_BHNd, dim=-1))


def _inverse_temperature(step: LastBlock) -> Tensor:
    """(B, 1, 1, 1)"""
    mean_B = step.normed_BND.norm(dim=-1).mean(1)
    head_dim = step.normed_BND.shape[-1] // step.block.attn.heads
    return (mean_B * head_dim**-0.5).view(-1, 1, 1, 1)


def _steps(last: LastBlock, depth: int) -> tuple[LastBlock, ...]:
    """The last `depth` blocks, in the order of the tower."""
    return (*last.before, last)[-depth:]


def _second_path(last: LastBlock, received: list[Tensor]) -> Tensor:
    steps = _steps(last, len(received))
    tokens_BND = steps[0].tokens_BND[:, 1:]
    for step, received_BND in zip(steps, received, strict=True):
        tokens_BND = tokens_BND + step.project(received_BND)
    return tokens_BND
