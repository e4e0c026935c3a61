"""Class embeddings of queries, for `mask_queries.MaskQueryDecoder`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .hard_pool import hard_pool
from .linear import Linear

__all__ = ["PooledClassEmbedding", "QueryClassEmbedding", "ReLUMLP"]


class ReLUMLP(nn.Sequential):
    """Linear layers with ReLU between them.

    Args:
        dims: number of channels before, between and after the layers.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for in_dim, out_dim in pairwise(dims):
            layers += [Linear(in_dim, out_dim), nn.ReLU()]
        super().__init__(*layers[:-1])


class QueryClassEmbedding(nn.Module):
    """Embeds queries by an MLP (Mask2Former, SCAN).

    Args:
        dims: number of channels of the queries, of the hidden layers, and of the embeddings.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.mlp = ReLUMLP(dims)

    def forward(self, query_BQD: Tensor, mask_BQhw: Tensor, fine_BMhw: Tensor) -> Tensor:
        """Computes the embeddings (B, Q, C) from the queries alone."""
        return self.mlp(query_BQD)


class PooledClassEmbedding(nn.Module):
    """Embeds queries and the mean features of their masks (FC-CLIP, EBSeg).

    Args:
        dim: number of channels of the queries.
        mask_dim: number of channels of the fine features.
        out_dim: number of channels of the embeddings.
    """

    def __init__(self, dim: int, mask_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(mask_dim)
        self.project = Linear(mask_dim, dim)
        self.mlp = ReLUMLP((dim, dim, dim, out_dim))

    def forward(self, query_BQD: Tensor, mask_BQhw: Tensor, fine_BMhw: Tensor) -> Tensor:
        """Computes the embeddings (B, Q, C); the gradient reaches the fine features."""
        pooled_BQM, _ = hard_pool(fine_BMhw, mask_BQhw)
        return self.mlp(self.project(self.norm(pooled_BQM)) + query_BQD)
