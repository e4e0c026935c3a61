"""Visual prompts: learned tokens that the blocks of a frozen vision transformer attend to."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ovss.layers.attention import attend

__all__ = ["DeepPrompts", "attend_with_prompts"]


class DeepPrompts(nn.Module):
    """Learned tokens for every block, with one projection and one final norm for all.

    Args:
        count: number of tokens in each block.
        width: D, the number of channels of a token.
        depth: number of blocks.
        patch: side of a patch in pixels, for the range of the initial values.
        dropout: dropout rate of the projected tokens.
    """

    def __init__(self, count: int, width: int, depth: int, patch: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, count, width))
        self.deep = nn.Parameter(torch.empty(depth - 1, count, width))
        self.project = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        limit = math.sqrt(6 / (3 * patch**2 + width))
        nn.init.uniform_(self.first, -limit, limit)
        nn.init.uniform_(self.deep, -limit, limit)
        nn.init.kaiming_normal_(self.project.weight, mode="fan_out")

    def forward(self) -> tuple[Tensor, ...]:
        """Tokens (1, M, D) of each block, first block first."""
        tokens_LMD = self.dropout(self.project(torch.cat([self.first, self.deep])))
        return tokens_LMD.split(1)


def attend_with_prompts(block: nn.Module, tokens_BND: Tensor, prompts_1MD: Tensor) -> Tensor:
    """Runs a block of CLIP whose tokens also attend to prompts.

    The output of the prompts themselves is not computed, because the next block replaces them.

    Args:
        block: transformer block with split attention.
        tokens_BND: class token and patches.
        prompts_1MD: prompts of this block, shared by all images.
    """
    attention = block.attn
    normed_BND = block.ln_1(tokens_BND)
    prompts_BMD = block.ln_1(prompts_1MD).expand(tokens_BND.shape[0], -1, -1)
    seen_BLD = torch.cat([normed_BND, prompts_BMD], dim=1)
    query, key, value = (
        attention.split_heads(part)
        for part in (
            attention.query(normed_BND),
            attention.key(seen_BLD),
            attention.value(seen_BLD),
        )
    )
    output_BND = attention.out_proj(attend(query, key, value).transpose(1, 2).flatten(2))
    tokens_BND = tokens_BND + block.ls_1(output_BND)
    return tokens_BND + block.ls_2(block.mlp(block.ln_2(tokens_BND)))
