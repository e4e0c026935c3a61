"""Grouping blocks: learned tokens that gather the tokens of an image into fewer ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.attention import attend
from ovss.layers.guided import mlp
from ovss.layers.linear import Linear


class CrossAttention(nn.Module):
    """Multi-head attention with separate projections.

    Args:
        dim: number of channels.
        heads: number of heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(dim, dim)
        self.key = Linear(dim, dim)
        self.value = Linear(dim, dim)
        self.project = Linear(dim, dim)

    def forward(self, query_BMD: Tensor, source_BND: Tensor) -> Tensor:
        """Attends from each query to all source tokens, (B, M, D)."""
        parts = (self.query(query_BMD), self.key(source_BND), self.value(source_BND))
        split = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.project(attend(*split).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Transformer block with self-attention.

    Args:
        dim: number of channels.
        heads: number of heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp(dim, 4 * dim, nn.GELU())

    def forward(self, x_BND: Tensor) -> Tensor:
        """Output for all tokens."""
        normed_BND = self.norm1(x_BND)
        x_BND = x_BND + self.attention(normed_BND, normed_BND)
        return x_BND + self.mlp(self.norm2(x_BND))


class TokenMixer(nn.Module):
    """MLP along the axis of the tokens, which changes their number.

    Args:
        tokens: number of tokens.
        hidden: number of hidden units.
        out: number of tokens of the result.
    """

    def __init__(self, tokens: int, hidden: int, out: int) -> None:
        super().__init__()
        self.mlp = mlp(tokens, hidden, nn.GELU())
        self.mlp[2] = Linear(hidden, out)

    def forward(self, x_BGD: Tensor) -> Tensor:
        """(B, tokens, D) -> (B, out, D)."""
        return self.mlp(x_BGD.transpose(1, 2)).transpose(1, 2)


class GroupingBlock(nn.Module):
    """Assigns every token to one of a few groups, whose tokens are the output.

    Args:
        dim: number of channels.
        heads: number of heads of the attention before the assignment.
        tokens: number of group tokens.
        groups: number of groups.
    """

    def __init__(self, dim: int, heads: int, tokens: int, groups: int) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.mix = TokenMixer(tokens, dim // 2, groups)
        self.norm_mixed = nn.LayerNorm(dim)
        self.look = CrossAttention(dim, heads)
        self.norm_look = nn.LayerNorm(dim)
        self.look_mlp = mlp(dim, 4 * dim, nn.GELU())
        self.norm_post = nn.LayerNorm(dim)
        self.assign = CrossAttention(dim, 1)
        self.norm_new = nn.LayerNorm(dim)
        self.mlp = mlp(dim, 4 * dim, nn.GELU())

    def forward(self, x_BND: Tensor, tokens_BGD: Tensor) -> tuple[Tensor, Tensor]:
        """Groups tokens.

        Training draws the group of each token with Gumbel noise, and passes gradients through the
        soft assignment.

        Returns:
            Tokens of the groups (B, M, D), and the soft assignment (B, M, N), which sums to 1 over
            the groups.
        """
        x_BND = self.norm_x(x_BND)
        mixed_BMD = self.norm_mixed(self.mix(self.norm_tokens(tokens_BGD)))
        mixed_BMD = mixed_BMD + self.look(mixed_BMD, x_BND)
        mixed_BMD = mixed_BMD + self.look_mlp(self.norm_look(mixed_BMD))
        mixed_BMD = self.norm_post(mixed_BMD)
        logits_BMN = self.assign.query(mixed_BMD) @ self.assign.key(x_BND).transpose(1, 2)
        logits_BMN = logits_BMN * x_BND.shape[2] ** -0.5
        soft_BMN = logits_BMN.softmax(1)
        one_BMN = _one_of(logits_BMN) if self.training else _highest(logits_BMN)
        # one is added to the size of a group, so that an empty one gets zero
        weight_BMN = one_BMN / (one_BMN.sum(2, keepdim=True) + 1)
        new_BMD = mixed_BMD + self.assign.project(weight_BMN @ self.assign.value(x_BND))
        return new_BMD + self.mlp(self.norm_new(new_BMD)), soft_BMN


def _highest(logits_BMN: Tensor) -> Tensor:
    """One in the group with the highest logit of each token, zero elsewhere."""
    owner_B1N = logits_BMN.argmax(1, keepdim=True)
    return torch.zeros_like(logits_BMN).scatter_(1, owner_B1N, 1.0)


def _one_of(logits_BMN: Tensor) -> Tensor:
    """Group of each token drawn with Gumbel noise, with the gradient of the soft assignment."""
    return F.gumbel_softmax(logits_BMN, tau=1.0, hard=True, dim=1)
