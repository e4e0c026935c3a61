"""The last block of a vision tower, taken apart: what a way of making dense tokens works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.attention import attend

__all__ = ["LastBlock"]


@dataclass(frozen=True)
class LastBlock:
    """The last block of a tower and what goes into it.

    Everything derived is computed when it is first read, so a way of making dense tokens pays for
    queries and keys only if it uses them.

    Args:
        block: the transformer block (ln_1, attn, ls_1, ln_2, mlp, ls_2).
        tokens_BND: its input: the class token, then h * w patches.
        grid: (h, w).
        before: the blocks before it, each with its own input, for ways that read more than one.
    """

    block: nn.Module
    tokens_BND: Tensor
    grid: tuple[int, int]
    before: tuple[LastBlock, ...] = ()

    @cached_property
    def normed_BND(self) -> Tensor:
        """The input after the first layer norm."""
        return self.block.ln_1(self.tokens_BND)

    @cached_property
    def q_BND(self) -> Tensor:
        """Queries of all tokens."""
        return self.block.attn.query(self.normed_BND)

    @cached_property
    def k_BND(self) -> Tensor:
        """Keys of all tokens."""
        return self.block.attn.key(self.normed_BND)

    @cached_property
    def v_BND(self) -> Tensor:
        """Values of all tokens."""
        return self.block.attn.value(self.normed_BND)

    @cached_property
    def ordinary_BND(self) -> Tensor:
        """The block's own output for all tokens, as in pre-training."""
        moved_BND = self.block.attn(self.normed_BND)
        return self.finish(self.tokens_BND + self.block.ls_1(moved_BND))

    def class_token_BD(self) -> Tensor:
        """The block's own output for the class token alone."""
        moved_BD = self.block.attn.attend_from_first(self.normed_BND, self.v_BND)
        return self.finish(self.tokens_BND[:, 0] + self.block.ls_1(moved_BD))

    def attention_BNN(self) -> Tensor:
        """The block's own attention weights, averaged over heads."""
        return self.block.attn.weights(self.q_BND, self.k_BND).mean(1)

    def heads(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return self.block.attn.split_heads(x_BND)

    def attend(self, x_BHNd: Tensor, bias_NN: Tensor | None = None) -> Tensor:
        """What the patches receive where attention goes by the likeness of `x` to itself.

        ``softmax(x x' / sqrt(d) + bias) v``, head by head. The class token is attended to; what it
        would receive is not computed.

        Args:
            x_BHNd: queries and keys in one, (B, heads, N, d = D / heads).
            bias_NN: the same for every head.

        Returns:
            (B, N - 1, D), heads side by side.
        """
        query_BHMd, value_BHNd = x_BHNd[:, :, 1:], self.heads(self.v_BND)
        if bias_NN is None:
            out_BHMd = attend(query_BHMd, x_BHNd, value_BHNd)
        else:
            bias_MN = bias_NN[1:].to(x_BHNd.dtype)
            out_BHMd = F.scaled_dot_product_attention(query_BHMd, x_BHNd, value_BHNd, bias_MN)
        return out_BHMd.transpose(1, 2).flatten(2)

    def project(self, received_BND: Tensor) -> Tensor:
        """What attention gave, through the output projection."""
        return self.block.ls_1(self.block.attn.out_proj(received_BND))

    def finish(self, x: Tensor) -> Tensor:
        """The second half of the block: the MLP and its residual."""
        return x + self.block.ls_2(self.block.mlp(self.block.ln_2(x)))
