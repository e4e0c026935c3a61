"""Dense modes that read several of the last blocks and add a second path to the tower.

The tower itself runs as pre-trained. The second path starts from the input of the first block that
is read, and adds the output of self-self attention in each of these blocks. It uses the queries,
keys and values of the tower, and does not apply an MLP:

    dense = input + sum over the blocks of projection(attention(q, k, v) v)
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ovss.layers.attention import attend

from .last_block import LastBlock

__all__ = ["clip_surgery", "gem"]


def clip_surgery(last: LastBlock, depth: int = 6) -> Tensor:
    """Second path with the attention ``softmax(v v') v`` in every block.

    CLIP Surgery, arXiv 2304.05653, section 3.2.

    Args:
        last: last block, and the blocks before it.
        depth: number of last blocks in the second path; 6 in the authors' code.
    """
    return _second_path(last, [step.attend(step.heads(step.v_BND)) for step in _steps(last, depth)])


def gem(
    last: LastBlock, depth: int = 6, iterations: int = 1, inv_temperature: float | None = None
) -> Tensor:
    """Second path with the mean of refined self-self attention of values, keys and queries.

    GEM, CVPR 2024, arXiv 2312.00878, section 3.

    Args:
        last: last block, and the blocks before it.
        depth: number of last blocks in the second path. The authors' code for ViT-B has depth 7 and
            loops over the last 6 blocks.
        iterations: number of refinement steps, each of which moves tokens towards similar tokens
            before attention weights are computed; 1 in the authors' code.
        inv_temperature: factor on the cosines before each softmax. None means, as published, the
            mean length of the normed input tokens divided by sqrt(D / heads).
    """
    outputs = []
    for step in _steps(last, depth):
        factor = _inverse_temperature(step) if inv_temperature is None else inv_temperature
        parts = [
            _refined_attention(step, step.heads(part_BND), factor, iterations)
            for part_BND in (step.v_BND, step.k_BND, step.q_BND)
        ]
        outputs.append((parts[0] + parts[1] + parts[2]) / 3)
    return _second_path(last, outputs)


def _refined_attention(
    step: LastBlock, x_BHNd: Tensor, factor: Tensor | float, iterations: int
) -> Tensor:
    """Attention ``softmax(factor cos(x, x)) v`` after `iterations` such averages of `x` itself."""
    root = (factor * x_BHNd.shape[-1] ** 0.5) ** 0.5  # attention divides by sqrt(d)
    for _ in range(iterations):
        unit_BHNd = F.normalize(x_BHNd, dim=-1)
        x_BHNd = attend(root * unit_BHNd, root * unit_BHNd, unit_BHNd)
    return step.attend(root * F.normalize(x_BHNd, dim=-1))


def _inverse_temperature(step: LastBlock) -> Tensor:
    """Published factor for each image, (B, 1, 1, 1)."""
    mean_B = step.normed_BND.norm(dim=-1).mean(1)
    head_dim = step.normed_BND.shape[-1] // step.block.attn.heads
    return (mean_B * head_dim**-0.5).view(-1, 1, 1, 1)


def _steps(last: LastBlock, depth: int) -> tuple[LastBlock, ...]:
    """Last `depth` blocks in the order of the tower."""
    return (*last.before, last)[-depth:]


def _second_path(last: LastBlock, outputs: list[Tensor]) -> Tensor:
    """Sum of the second path's input and the projected attention outputs of its blocks."""
    steps = _steps(last, len(outputs))
    tokens_BND = steps[0].tokens_BND[:, 1:]
    for step, output_BND in zip(steps, outputs, strict=True):
        tokens_BND = tokens_BND + step.project(output_BND)
    return tokens_BND
