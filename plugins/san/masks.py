"""Masks and attention biases of SAN, from the tokens of the side adapter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ovss.layers.linear import Linear, linear

__all__ = ["MaskBiasDecoder"]


class MaskBiasDecoder(nn.Module):
    """Mask logits, and one attention bias for each head of CLIP, as inner products.

    Args:
        width: number of channels of the tokens.
        dim: number of channels of the inner products.
        heads: number of attention heads of CLIP.
    """

    def __init__(self, width: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_mlp = _layers(width, dim, dim)
        self.pixel_mlp = _layers(width, dim, dim)
        self.bias_mlp = _layers(width, dim, dim * heads)
        self.bias_scale = nn.Linear(1, 1)

    def forward(self, queries_BQD: Tensor, patches_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Computes masks and biases.

        Args:
            queries_BQD: query tokens.
            patches_BLD: patches.

        Returns:
            Mask logits (B, Q, L) and biases (B, heads, Q, L).
        """
        *_, last = self.query_mlp
        query_BQE = last(_hidden(self.query_mlp, queries_BQD))
        mask_B1QL = _products(query_BQE, _hidden(self.pixel_mlp, patches_BLD), self.pixel_mlp[-1])
        # the scale is applied to the few queries and not to the many biases
        scaled_BQE = query_BQE * self.bias_scale.weight[0, 0]
        hidden_BLE = _hidden(self.bias_mlp, patches_BLD)
        bias_BHQL = _products(scaled_BQE, hidden_BLE, self.bias_mlp[-1], self.heads)
        return mask_B1QL[:, 0], bias_BHQL + self.bias_scale.bias


def _layers(width: int, dim: int, out: int) -> nn.ModuleList:
    """Linear layers of a perceptron with two hidden layers and ReLU."""
    return nn.ModuleList([Linear(width, dim), Linear(dim, dim), Linear(dim, out)])


def _hidden(layers: nn.ModuleList, tokens_BND: Tensor) -> Tensor:
    """Input of the last layer of a perceptron."""
    for layer in list(layers)[:-1]:
        tokens_BND = linear(tokens_BND, layer.weight, layer.bias, "relu")
    return tokens_BND


def _products(query_BQE: Tensor, hidden_BLI: Tensor, last: nn.Module, heads: int = 1) -> Tensor:
    """Inner products (B, heads, Q, L) of queries and ``last(hidden)``.

    Since ``q . (W h + b) = (W' q) . h + q . b``, the last layer is applied to the queries, of which
    there are fewer than patches.
    """
    weight_HEI = last.weight.unflatten(0, (heads, -1))
    back_BHQI = torch.einsum("bqe,hei->bhqi", query_BQE, weight_HEI)
    offset_BHQ = torch.einsum("bqe,he->bhq", query_BQE, last.bias.unflatten(0, (heads, -1)))
    products_BML = back_BHQI.flatten(1, 2) @ hidden_BLI.transpose(1, 2)
    return products_BML.unflatten(1, (heads, -1)) + offset_BHQ[..., None]
