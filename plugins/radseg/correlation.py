"""The two self-correlations of RADSeg: recursive in the last block, global over the canvas."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.last_block import LastBlock
from ovss.ops import at_least_single


def recursive_block(last: LastBlock, factor: float) -> Tensor:
    """Output (B, N, D) of the last block with self-correlating recursive attention (SCRA).

    The ordinary attention of a token, y, decides in a second step which tokens it attends to: per
    head, with unit vectors u of y, the weights are the softmax of ``factor u u'`` over the tokens
    where this is not negative. They average the block's own values. Residual and MLP stay.

    Args:
        last: last block of the backbone, with its input.
        factor: factor of the cosines, 10 published.
    """
    attention: Any = last.block.attn
    unit_BHNd = F.normalize(at_least_single(last.heads(attention(last.normed_BND))), dim=3)
    logit_BHNN = factor * (unit_BHNd @ unit_BHNd.transpose(2, 3))
    weights_BHNN = logit_BHNN.masked_fill(logit_BHNN < 0, -torch.inf).softmax(3)
    value_BHNd = last.heads(last.v_BND)
    output_BND = (weights_BHNN.to(value_BHNd.dtype) @ value_BHNd).transpose(1, 2).flatten(2)
    return last.finish(last.tokens_BND + last.project(output_BND))


def global_aggregation(feature_BDhw: Tensor, factor: float, rows: int = 1024) -> Tensor:
    """Features averaged over all cells of the canvas that are similar (SCGA), (B, D, h, w).

    With S the cosines of the features, the weights are the softmax of ``factor (S - mean(S))`` over
    the cells where this is not negative. The mean is that of each canvas.

    Args:
        feature_BDhw: features of the canvas.
        factor: factor of the cosines, 10 published.
        rows: number of cells whose weights are computed at a time.
    """
    flat_BND = at_least_single(feature_BDhw).flatten(2).transpose(1, 2)
    unit_BND = F.normalize(flat_BND, dim=2)
    # The mean over all pairs of unit vectors is the squared length of their mean.
    mean_B11 = unit_BND.mean(1).square().sum(1)[:, None, None]
    parts = []
    for start in range(0, unit_BND.shape[1], rows):
        part_BMD = unit_BND[:, start : start + rows]
        logit_BMN = factor * (part_BMD @ unit_BND.transpose(1, 2) - mean_B11)
        weights_BMN = logit_BMN.masked_fill(logit_BMN < 0, -torch.inf).softmax(2)
        parts.append(weights_BMN @ flat_BND)
    mean_BND = torch.cat(parts, dim=1).to(feature_BDhw.dtype)
    return mean_BND.transpose(1, 2).unflatten(2, feature_BDhw.shape[2:])
