"""Layer of Mask2Former's query decoder: masked attention, attention among queries, MLP."""

from __future__ import annotations

from torch import Tensor, nn

from .attention import attend
from .guided import mlp
from .linear import Linear, linear

__all__ = ["FusedAttention", "QueryLayer"]


class QueryLayer(nn.Module):
    """Masked attention to a level, attention among the queries, and an MLP; norms come last.

    Args:
        dim, heads, feedforward: see `MaskQueryDecoder`.
    """

    def __init__(self, dim: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.cross = FusedAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.among = FusedAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, feedforward, nn.ReLU())
        self.norm3 = nn.LayerNorm(dim)
        for parameter in self.mlp.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        x_BQD: Tensor,
        position_BQD: Tensor,
        key_BND: Tensor,
        value_BND: Tensor,
        allowed_B1QN: Tensor,
    ) -> Tensor:
        """Updates queries.

        Args:
            x_BQD: content of the queries.
            position_BQD: their positions, added before each attention.
            key_BND: cells of a level with positions.
            value_BND: cells of the level.
            allowed_B1QN: False where a query must not attend to a cell.
        """
        change_BQD = self.cross(x_BQD + position_BQD, key_BND, value_BND, allowed_B1QN)
        x_BQD = self.norm1(x_BQD + change_BQD)
        placed_BQD = x_BQD + position_BQD
        x_BQD = self.norm2(x_BQD + self.among(placed_BQD, placed_BQD, x_BQD))
        return self.norm3(x_BQD + self.mlp(x_BQD))


class FusedAttention(nn.Module):
    """Multi-head attention whose query, key and value matrices are one parameter.

    Args:
        dim: number of channels.
        heads: number of attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = Linear(dim, 3 * dim)
        self.out = Linear(dim, dim)
        for layer in (self.inputs, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, query_BQD: Tensor, key_BND: Tensor, value_BND: Tensor, allowed: Tensor | None = None
    ) -> Tensor:
        """Attends to N cells or queries; `allowed` is False where that is not permitted."""
        weights, biases = self.inputs.weight.chunk(3), self.inputs.bias.chunk(3)
        query, key, value = (
            linear(x, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query_BQD, key_BND, value_BND), weights, biases)
        )
        mixed = attend(query, key, value, allowed=allowed)
        return self.out(mixed.transpose(1, 2).flatten(2))
