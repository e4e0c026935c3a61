"""Query decoder of Mask2Former: learned queries look for regions and become masks.

Mask2Former (CVPR 2022), section 3.2: each layer attends to one level, and only to the cells inside
the mask that the query had before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovss.io.option_values import check_range
from ovss.ops import resize

from .class_embedding import ReLUMLP
from .query_layer import QueryLayer
from .sine_positions import sine_positions

__all__ = ["MaskQueries", "MaskQueryDecoder"]


@dataclass(frozen=True)
class MaskQueries:
    """Prediction of one layer.

    Args:
        query_BQD: normalised queries.
        mask_embed_BQM: embeddings whose products with the fine features are the mask logits.
        mask_BQhw: mask logits, on the grid of the fine features.
        class_BQC: class embeddings.
    """

    query_BQD: Tensor
    mask_embed_BQM: Tensor
    mask_BQhw: Tensor
    class_BQC: Tensor


class MaskQueryDecoder(nn.Module):
    """Turns learned queries into masks and class embeddings, layer by layer.

    Predictions are made before the first layer and after each layer, all with the same weights. In
    training all of them are returned; otherwise only the last one is computed in full.

    Args:
        class_embedding: module that computes class embeddings (B, Q, C) from the normalised
            queries (B, Q, dim), the mask logits (B, Q, h, w) and the fine features
            (B, mask_dim, h, w).
        queries: number of queries.
        dim: number of channels of queries and levels.
        mask_dim: number of channels of the fine features; None for `dim`.
        heads: number of attention heads.
        layers: number of layers. Layer i attends to level i modulo the number of levels.
        levels: number of levels.
        feedforward: number of hidden channels of the layers' MLPs.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        class_embedding: nn.Module,
        queries: int = 100,
        dim: int = 256,
        mask_dim: int | None = None,
        heads: int = 8,
        layers: int = 9,
        levels: int = 3,
        feedforward: int = 2048,
    ) -> None:
        super().__init__()
        sizes = dict(queries=queries, dim=dim, heads=heads, levels=levels, feedforward=feedforward)
        check_range("MaskQueryDecoder", 1, **sizes)
        check_range("MaskQueryDecoder", 0, layers=layers)
        if dim % heads:
            raise ValueError(
                f"MaskQueryDecoder expects dim to be a multiple of heads={heads}, got {dim}."
            )
        self.content = nn.Embedding(queries, dim)
        self.position = nn.Embedding(queries, dim)
        self.level = nn.Embedding(levels, dim)
        self.layers = nn.ModuleList(QueryLayer(dim, heads, feedforward) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.mask_embedding = ReLUMLP((dim, dim, dim, mask_dim or dim))
        self.class_embedding = class_embedding

    def forward(self, fine_BMhw: Tensor, levels: Sequence[Tensor]) -> tuple[MaskQueries, ...]:
        """Computes the predictions.

        Args:
            fine_BMhw: fine features, whose products with queries are mask logits.
            levels: maps (B, dim, h, w) in the order in which layers attend to them, usually coarse
                first.

        Returns:
            Predictions before the first layer and after each layer in training; else the last.

        Raises:
            ValueError: another number of levels than that of `__init__`.
        """
        expected = self.level.num_embeddings
        if len(levels) != expected:
            raise ValueError(f"MaskQueryDecoder expects {expected} levels, got {len(levels)}.")
        memories = [
            _memory(level, self.level.weight[i])
            for i, level in enumerate(levels[: len(self.layers)])
        ]
        # Mask logits on a coarser grid are products with the fine features on that grid, because
        # resizing is linear. So no layer needs masks on the fine grid.
        with torch.no_grad():
            small = [resize(fine_BMhw.detach(), (x.shape[2], x.shape[3])) for x in levels]
        # copies, because tools that trace the layers cannot follow parameters as their arguments
        batch = fine_BMhw.shape[0]
        x_BQD, position_BQD = (
            each.weight.repeat(batch, 1, 1) for each in (self.content, self.position)
        )
        predictions = []
        for i, layer in enumerate(self.layers):
            query_BQD = self.norm(x_BQD)
            mask_embed_BQM = self.mask_embedding(query_BQD)
            if self.training:
                predictions.append(self._predict(query_BQD, mask_embed_BQM, fine_BMhw))
            which = i % len(levels)
            allowed_B1QN = _allowed(mask_embed_BQM, small[which])
            x_BQD = layer(x_BQD, position_BQD, *memories[which], allowed_B1QN)
        query_BQD = self.norm(x_BQD)
        last = self._predict(query_BQD, self.mask_embedding(query_BQD), fine_BMhw)
        return (*predictions, last)

    def _predict(self, query_BQD: Tensor, mask_embed_BQM: Tensor, fine_BMhw: Tensor) -> MaskQueries:
        mask_BQhw = (mask_embed_BQM @ fine_BMhw.flatten(2)).unflatten(2, fine_BMhw.shape[2:])
        class_BQC = self.class_embedding(query_BQD, mask_BQhw, fine_BMhw)
        return MaskQueries(query_BQD, mask_embed_BQM, mask_BQhw, class_BQC)


def _memory(level_BDhw: Tensor, level_D: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (B, N, D) of a level."""
    value_BND = level_BDhw.flatten(2).transpose(1, 2) + level_D
    position_Dhw = sine_positions(level_BDhw, level_BDhw.shape[1])
    return value_BND + position_Dhw.flatten(1).T.to(value_BND.dtype), value_BND


@torch.no_grad()
def _allowed(mask_embed_BQM: Tensor, small_BMhw: Tensor) -> Tensor:
    """Cells (B, 1, Q, N) that a query may attend to: those of its mask; all if it is empty."""
    logits_BQN = mask_embed_BQM.detach() @ small_BMhw.flatten(2)
    inside_BQN = logits_BQN >= 0
    return (inside_BQN | ~inside_BQN.any(2, keepdim=True))[:, None]
