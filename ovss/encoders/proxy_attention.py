"""Attention whose weights come from another model, on that model's grid (ProxyCLIP)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.patches import tokens_as_map
from ovss.ops import at_least_single, resize

from .last_block import LastBlock

__all__ = ["ProxyOptions", "proxy_tokens", "proxy_weights"]

MEANS = ("window", "batch")


@dataclass(frozen=True)
class ProxyOptions:
    """Options of proxy attention, with the values of ProxyCLIP (ECCV 2024, arXiv 2408.04883).

    Args:
        beta: factor of the mean similarity, below which pairs of cells are left out.
        gamma: factor of the similarities in the softmax.
        mean: ``window`` takes the mean similarity of each window, ``batch`` that of all windows of
            a batch together, as Trident does.

    Raises:
        ValueError: a negative factor, or an unknown value of `mean`.
    """

    beta: float = 1.2
    gamma: float = 3.0
    mean: str = "window"

    def __post_init__(self) -> None:
        check_range("proxy", 0, beta=self.beta, gamma=self.gamma)
        if self.mean not in MEANS:
            raise ValueError(f"proxy.mean must be {' or '.join(MEANS)}, got {excerpt(self.mean)}.")


def proxy_weights(feature_BDhw: Tensor, options: ProxyOptions) -> Tensor:
    """Attention weights between cells, (B, M, M) with M = h * w; each row sums to 1.

    With S the cosines of the features, a row is the softmax of ``gamma (S - beta mean(S))`` over
    the cells where this is not negative. If the mean similarity exceeds 1 / beta, no cell is left
    in any row; a cell then attends to itself, while the authors' code gives NaN.

    Args:
        feature_BDhw: features of the other model.
        options: factors.
    """
    unit_BMD = F.normalize(at_least_single(feature_BDhw).flatten(2).transpose(1, 2), dim=2)
    similar_BMM = unit_BMD @ unit_BMD.transpose(1, 2)
    mean_B11 = similar_BMM.mean((1, 2), keepdim=True)
    if options.mean == "batch":
        mean_B11 = mean_B11.mean(0, keepdim=True)
    logit_BMM = options.gamma * (similar_BMM - options.beta * mean_B11)
    itself_MM = torch.eye(logit_BMM.shape[1], dtype=torch.bool, device=logit_BMM.device)
    return logit_BMM.masked_fill((logit_BMM < 0) & ~itself_MM, -torch.inf).softmax(2)


def proxy_tokens(last: LastBlock, weights_BMM: Tensor, grid: tuple[int, int]) -> Tensor:
    """Output (B, M, D) of the last block with given weights, the same for all heads.

    Values are resized to the grid of the weights. The residual and the MLP are left out.

    Args:
        last: last block of the image tower.
        weights_BMM: weights between the M cells of `grid`.
        grid: (h, w) of the weights.
    """
    value_BDhw = resize(tokens_as_map(last.patches(last.v_BND), last.grid), grid)
    value_BMD = value_BDhw.flatten(2).transpose(1, 2)
    return last.project(weights_BMM.to(value_BMD.dtype) @ value_BMD)
