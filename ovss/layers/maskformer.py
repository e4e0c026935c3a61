"""Pixel decoder and query decoder of MaskFormer (NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .sine_positions import sine_positions

__all__ = ["DETRLayer", "FPNPixelDecoder", "QueryDecoder"]

GROUPS = 32


class FPNPixelDecoder(nn.Module):
    """Feature pyramid that joins an encoder's levels, from coarse to fine.

    Coarse maps are enlarged by the nearest cell, not bilinearly.

    Args:
        level_dims: number of channels of each level, fine first.
        dim: number of channels of the result, a multiple of 32.
    """

    def __init__(self, level_dims: Sequence[int], dim: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(_conv(width, dim, 1) for width in level_dims[:-1])
        befores = [*(dim,) * (len(level_dims) - 1), level_dims[-1]]
        self.layers = nn.ModuleList(_conv(before, dim, 3) for before in befores)
        self.mask_features = nn.Conv2d(dim, dim, 3, padding=1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_uniform_(part.weight, a=1)
        assert self.mask_features.bias is not None
        nn.init.zeros_(self.mask_features.bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Computes the features of the masks, (B, dim, h, w) on the grid of the finest level.

        Args:
            levels: maps (B, level_dim, h_i, w_i), fine first.
        """
        x_BDhw = self.layers[-1](levels[-1]).relu_()
        for index in range(len(levels) - 2, -1, -1):
            level_BDhw = self.adapters[index](levels[index])
            x_BDhw = level_BDhw + F.interpolate(x_BDhw, size=level_BDhw.shape[2:])
            x_BDhw = self.layers[index](x_BDhw).relu_()
        return self.mask_features(x_BDhw)


class QueryDecoder(nn.Module):
    """Transformer decoder whose learned queries attend to one map (DETR, ECCV 2020).

    Queries start at zero; only their position embeddings are learned.

    Args:
        level_dim: number of channels of the map.
        dim: number of channels of a query.
        queries: number of queries.
        layers: number of layers.
        heads: number of attention heads.
        hidden: number of channels inside the feed-forward networks.
        dropout: dropout rate in training.
    """

    def __init__(
        self,
        level_dim: int,
        dim: int,
        queries: int,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(level_dim, dim, 1)
        self.places = nn.Embedding(queries, dim)
        self.layers = nn.ModuleList(DETRLayer(dim, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.kaiming_uniform_(self.project.weight, a=1)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(self, level_BDhw: Tensor, every: bool) -> list[Tensor]:
        """Computes the queries after each layer, each (B, Q, dim).

        Args:
            level_BDhw: map.
            every: False computes the output of the last layer only.
        """
        memory_BDhw = self.project(level_BDhw)
        place_DM = sine_positions(memory_BDhw, memory_BDhw.shape[1]).flatten(1)
        value_BMD = memory_BDhw.flatten(2).transpose(1, 2)
        key_BMD = value_BMD + place_DM.T.to(value_BMD)
        place_QD = self.places.weight
        x_BQD, outputs = value_BMD.new_zeros(level_BDhw.shape[0], *place_QD.shape), []
        for layer in self.layers:
            x_BQD = layer(x_BQD, place_QD, key_BMD, value_BMD)
            if every:
                outputs.append(self.norm(x_BQD))
        return outputs if every else [self.norm(x_BQD)]


class DETRLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, each followed by its norm.

    Args:
        dim: number of channels.
        heads: number of attention heads.
        hidden: number of channels inside the feed-forward network.
        dropout: dropout rate in training.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_BQD: Tensor, place_QD: Tensor, key_BMD: Tensor, value_BMD: Tensor
    ) -> Tensor:
        """Computes the layer.

        Args:
            x_BQD: queries.
            place_QD: position embeddings of the queries.
            key_BMD: keys of the cells.
            value_BMD: values of the cells.
        """
        placed_BQD = x_BQD + place_QD
        own_BQD = self.self_attn(placed_BQD, placed_BQD, x_BQD, need_weights=False)[0]
        x_BQD = self.norm1(x_BQD + self.dropout(own_BQD))
        seen_BQD = self.multihead_attn(x_BQD + place_QD, key_BMD, value_BMD, need_weights=False)
        x_BQD = self.norm2(x_BQD + self.dropout(seen_BQD[0]))
        inner_BQD = self.dropout(self.linear1(x_BQD).relu())
        return self.norm3(x_BQD + self.dropout(self.linear2(inner_BQD)))


def _conv(before: int, dim: int, kernel: int) -> nn.Sequential:
    """Convolution without bias, and group norm."""
    conv = nn.Conv2d(before, dim, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(GROUPS, dim))
