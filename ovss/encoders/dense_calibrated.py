"""Dense mode that calibrates CLIP with its own inner features (SC-CLIP, arXiv 2411.15869).

Some patches of the last blocks hold global information and look alike everywhere. They are found by
their distance to all others and replaced by their neighbours. Features of earlier blocks, which
know better which patches belong together, then decide what is averaged with what.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.layers.attention import attend
from ovss.layers.patches import tokens_as_map

from .last_block import LastBlock

__all__ = ["outlier_factor", "repair_outliers", "sc_clip", "similar_cells"]


def sc_clip(
    last: LastBlock,
    depth: int = 8,
    semantic: int = 3,
    levels: int = 7,
    neighbours: int = 30,
    contamination: float = 0.05,
    threshold: float = 0.4,
    class_weight: float = 0.3,
) -> Tensor:
    """Last block with attention from inner features, on repaired tokens and on several levels.

    1. Outliers of the last block's input are replaced by their neighbours.
    2. The tokens are averaged over cells whose features in block S are similar.
    3. Attention of the last block, half of it ``softmax(3 (S - mean S))`` over the similarities S
       above their mean, half of it ``softmax(k k')``; without class token, residual and MLP. A part
       of the class token's input is added.
    4. The result is averaged over cells whose features in an early block are similar.
    5. Steps 3 and 4 are repeated on the sum of inner features, and the results are added.

    The defaults are those of the authors' code for 12 blocks.

    Args:
        last: last block, and the blocks before it.
        depth: number of last blocks that are read. The early features are the input of the first.
        semantic: number of blocks behind the features of block S, the last block included.
        levels: number of inner features in the sum, beginning with the early ones.
        neighbours: number of neighbours in the outlier factor.
        contamination: share of the cells that count as outliers.
        threshold: cosine from which cells are similar.
        class_weight: factor of the class token.
    """
    steps = (*last.before, last)[-depth:]
    patches_BND = last.patches(last.tokens_BND)
    outlier_BN = _highest(outlier_factor(patches_BND, neighbours), contamination)
    feature_BND = last.patches(steps[-min(semantic, depth)].tokens_BND)
    feature_BND = repair_outliers(feature_BND, outlier_BN, last.grid)
    same_BNN = _cosines(feature_BND)
    early_BNN = similar_cells(_cosines(last.patches(steps[0].tokens_BND)), threshold)
    early_BNN = _rows_of_one(early_BNN)
    weights_BNN = _above_mean(same_BNN)

    tokens_BND = repair_outliers(patches_BND, outlier_BN, last.grid)
    tokens_BND = _rows_of_one(similar_cells(same_BNN, threshold)) @ tokens_BND
    class_B1D = class_weight * last.tokens_BND[:, :1]
    out_BND = early_BNN @ (_attention(last, tokens_BND, weights_BNN) + class_B1D)

    inner_BND = torch.stack([step.tokens_BND for step in steps[:levels]]).sum(0)
    inner_class_B1D = class_weight * inner_BND[:, :1]
    inner_BND = _attention(last, last.patches(inner_BND), weights_BNN) + inner_class_B1D
    return out_BND + early_BNN @ inner_BND


def outlier_factor(x_BND: Tensor, neighbours: int) -> Tensor:
    """Local outlier factor (B, N) of each cell, in the simplified form of SC-CLIP's code.

    With K_i, the squared distance of cell i to the last of its neighbours, it is the mean of
    K_i / K_j over the neighbours j. The reachability distance uses a cell's own K for every
    neighbour, other than in the textbook and in scikit-learn.

    Args:
        x_BND: tokens.
        neighbours: number of neighbours, at most all other cells.
    """
    x_BND = x_BND.float()
    length_BN = x_BND.square().sum(2)
    product_BNN = x_BND @ x_BND.transpose(1, 2)
    square_BNN = (length_BN[:, :, None] + length_BN[:, None] - 2 * product_BNN).clamp(min=0)
    count = min(neighbours, x_BND.shape[1] - 1)
    if not count:
        return torch.ones_like(length_BN)
    near = square_BNN.topk(count + 1, dim=2, largest=False)
    far_BN = near.values[:, :, -1].clamp(min=torch.finfo(torch.float32).tiny)
    others_BNn = near.indices[:, :, 1:]  # the first is the cell itself
    far_BNn = far_BN[:, None].expand_as(square_BNN).gather(2, others_BNn)
    return (far_BN[:, :, None] / far_BNn).mean(2)


def repair_outliers(x_BND: Tensor, outlier_BN: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens whose outliers are the mean of those of the eight neighbours that are none.

    An outlier without such a neighbour keeps its value.

    Args:
        x_BND: tokens of the patches.
        outlier_BN: True for outliers.
        grid: (h, w).
    """
    good_B1hw = tokens_as_map((~outlier_BN)[:, :, None], grid).to(x_BND.dtype)
    sum_BDhw = _sum_3x3(tokens_as_map(x_BND, grid) * good_B1hw)
    count_BN1 = _sum_3x3(good_B1hw).flatten(2).transpose(1, 2)
    mean_BND = sum_BDhw.flatten(2).transpose(1, 2) / count_BN1.clamp(min=1)
    return torch.where(outlier_BN[:, :, None] & (count_BN1 > 0), mean_BND, x_BND)


def similar_cells(cosine_BNN: Tensor, threshold: float) -> Tensor:
    """Cosines between cells, 0 below the threshold."""
    return cosine_BNN.masked_fill(cosine_BNN < threshold, 0)


def _highest(score_BN: Tensor, share: float) -> Tensor:
    """True for the given share of the cells, those with the highest scores."""
    return score_BN > score_BN.quantile(1 - min(share, 1.0), dim=1, keepdim=True)


def _cosines(x_BND: Tensor) -> Tensor:
    unit_BND = F.normalize(x_BND, dim=2)
    return unit_BND @ unit_BND.transpose(1, 2)


def _rows_of_one(x_BNN: Tensor) -> Tensor:
    return x_BNN / (x_BNN.sum(2, keepdim=True) + 1e-6)


def _above_mean(cosine_BNN: Tensor) -> Tensor:
    """Weights ``softmax(3 (S - mean S))`` over the pairs that are not below the mean.

    A cell always attends to itself. Without this, rounding could leave cells of an image of one
    colour with nothing to attend to.
    """
    shifted_BNN = 3 * (cosine_BNN - cosine_BNN.mean((1, 2), keepdim=True))
    below_BNN = shifted_BNN < 0
    below_BNN.diagonal(dim1=1, dim2=2).fill_(False)
    return shifted_BNN.masked_fill(below_BNN, -torch.inf).softmax(2)


def _attention(last: LastBlock, x_BND: Tensor, weights_BNN: Tensor) -> Tensor:
    """Attention of the last block on other tokens: the mean of `weights_BNN` and k k'."""
    attention, normed_BND = last.block.attn, last.block.ln_1(x_BND)
    value_BND = attention.value(normed_BND)
    key_BHNd = last.heads(attention.key(normed_BND))
    own_BHNd = attend(key_BHNd, key_BHNd, last.heads(value_BND))
    out_BND = own_BHNd.transpose(1, 2).flatten(2) + weights_BNN @ value_BND
    return last.project(out_BND / 2)


def _sum_3x3(x_BDhw: Tensor) -> Tensor:
    """Sum over a cell and its eight neighbours."""
    return F.avg_pool2d(x_BDhw, 3, stride=1, padding=1, divisor_override=1)
