"""Attention blocks of the head: cells to categories (eq. 8-10) and cells to cells (eq. 11-12)."""

from __future__ import annotations

from torch import Tensor, nn

from ovss.layers.attention import attend
from ovss.layers.guided import mlp, residual
from ovss.layers.linear import Linear, linear

NORMS = ("post", "pre")
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


def in_heads(
    query: Tensor, key: Tensor, value: Tensor, heads: int, allowed: Tensor | None = None
) -> Tensor:
    """Multi-head attention of queries (..., N, d) to keys and values (..., M, d).

    Args:
        query, key, value: projected inputs, split into heads here.
        heads: number of heads.
        allowed: mask of the keys, see `ovss.layers.attention.attend`.
    """
    split = (part.unflatten(-1, (heads, -1)).transpose(-2, -3) for part in (query, key, value))
    return attend(*split, allowed=allowed).transpose(-2, -3).flatten(-2)


class CrossBlock(nn.Module):
    """Cross attention from cells to the guidance of the kept categories, followed by an MLP.

    Args:
        dim: channels of the cells.
        guide_dim: channels of the guidance.
        heads: attention heads.
        expand: width of the MLP as a multiple of `dim`.
        norm: position of the layer norms, ``post`` (after the residual, as published) or ``pre``.
        activation: activation of the MLP, ``gelu`` or ``relu``.
    """

    def __init__(
        self, dim: int, guide_dim: int, heads: int, expand: int, norm: str, activation: str
    ) -> None:
        super().__init__()
        self.heads, self.pre = heads, norm == "pre"
        self.query = Linear(dim, dim)
        self.key = Linear(guide_dim, dim)
        self.value = Linear(guide_dim, dim)
        self.project = Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, expand * dim, ACTIVATIONS[activation]())

    def forward(self, x_BNC: Tensor, guide_BKG: Tensor, allowed_B11K: Tensor | None) -> Tensor:
        """Updates the cells.

        Args:
            x_BNC: cells of the images.
            guide_BKG: guidance of the kept categories.
            allowed_B11K: False for padding slots; None without padding.
        """
        if self.pre:
            x_BNC = x_BNC + self._attend(self.norm1(x_BNC), guide_BKG, allowed_B11K)
            return x_BNC + self.mlp(self.norm2(x_BNC))
        x_BNC = self.norm1(x_BNC + self._attend(x_BNC, guide_BKG, allowed_B11K))
        return self.norm2(x_BNC + self.mlp(x_BNC))

    def _attend(self, x_BNC: Tensor, guide_BKG: Tensor, allowed_B11K: Tensor | None) -> Tensor:
        key, value = self.key(guide_BKG), self.value(guide_BKG)
        return self.project(in_heads(self.query(x_BNC), key, value, self.heads, allowed_B11K))


class JointLinear(nn.Module):
    """Linear map of [own; shared] that computes the shared half only once, as an `offset`.

    Args:
        own, shared: channels of the two halves.
        out: output channels.
    """

    def __init__(self, own: int, shared: int, out: int) -> None:
        super().__init__()
        self.own = own
        self.both = Linear(own + shared, out)

    def offset(self, shared: Tensor) -> Tensor:
        """Contribution of the shared half, bias included."""
        return linear(shared, self.both.weight[:, self.own :], self.both.bias)

    def forward(self, own: Tensor, offset: Tensor) -> Tensor:
        """Maps `own` and adds a broadcastable `offset`."""
        return linear(own, self.both.weight[:, : self.own]).add_(offset)


class SelfBlock(nn.Module):
    """Self attention over [map; cells], where all maps of an image share the image's cells.

    Args:
        dim: channels of the maps and of the shared cells.
        heads: attention heads.
        expand: width of the MLP as a multiple of `dim`.
        norm: position of the layer norms, ``post`` or ``pre``.
        activation: activation of the MLP, ``gelu`` or ``relu``.
        residual: residual of the attention, ``cost`` for the map or ``proj_cat`` for a linear map
            of [map; cells].
    """

    def __init__(
        self, dim: int, heads: int, expand: int, norm: str, activation: str, residual: str
    ) -> None:
        super().__init__()
        self.heads, self.pre = heads, norm == "pre"
        self.qkv = JointLinear(dim, dim, 3 * dim)
        self.join = JointLinear(dim, dim, dim) if residual == "proj_cat" else None
        self.project = Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, expand * dim, ACTIVATIONS[activation]())

    def offsets(self, shared: Tensor) -> tuple[Tensor, Tensor | None]:
        """Contributions of the shared cells to queries, keys, values and residual.

        They are computed once per image and passed to `forward`.
        """
        join = None if self.join is None else self.join.offset(shared)
        return self.qkv.offset(shared), join

    def forward(self, x_MNd: Tensor, offsets: tuple[Tensor, Tensor | None]) -> Tensor:
        """Applies attention among the N places of each of M sequences.

        Args:
            x_MNd: M sequences of N places.
            offsets: result of `offsets`, broadcast over the sequences.
        """
        qkv, join = offsets
        attended = self._attend(self.norm1(x_MNd) if self.pre else x_MNd, qkv)
        base = x_MNd if self.join is None else self.join(x_MNd, join)
        if self.pre:
            x_MNd = residual(base, attended)
            return residual(x_MNd, self.mlp(self.norm2(x_MNd)))
        x_MNd = self.norm1(residual(base, attended))
        return self.norm2(residual(x_MNd, self.mlp(x_MNd)))

    def _attend(self, x_MNd: Tensor, offset: Tensor) -> Tensor:
        query, key, value = self.qkv(x_MNd, offset).chunk(3, dim=-1)
        return self.project(in_heads(query, key, value, self.heads))
