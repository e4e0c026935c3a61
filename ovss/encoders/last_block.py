"""The last block of a vision tower, split into the parts that dense modes combine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ovss.layers.attention import attend

__all__ = ["LastBlock"]


@dataclass(frozen=True)
class LastBlock:
    """Last block of a tower together with its input.

    Derived tensors are computed when first read, so a dense mode pays for queries and keys only if
    it uses them.

    Args:
        block: transformer block with ln_1, attn, ls_1, ln_2, mlp and ls_2.
        tokens_BND: input of the block: the class token and registers, then h * w patches.
        grid: (h, w).
        before: preceding blocks with their own inputs, for dense modes that read several blocks.
        prefix: number of tokens before the patches, the class token and registers.
    """

    block: Any
    tokens_BND: Tensor
    grid: tuple[int, int]
    before: tuple[LastBlock, ...] = ()
    prefix: int = 1

    def patches(self, x_BND: Tensor) -> Tensor:
        """Tokens of the patches, (B, h * w, D)."""
        return x_BND[:, self.prefix :]

    @cached_property
    def normed_BND(self) -> Tensor:
        """Input after the first layer norm."""
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
        """Output of the unchanged block for all tokens."""
        output_BND = self.block.attn(self.normed_BND)
        return self.finish(self.tokens_BND + self.block.ls_1(output_BND))

    def class_token_BD(self) -> Tensor:
        """Output of the unchanged block for the class token only."""
        output_BD = self.block.attn.attend_from_first(self.normed_BND, self.v_BND)
        return self.finish(self.tokens_BND[:, 0] + self.block.ls_1(output_BD))

    def attention_BNN(self) -> Tensor:
        """Attention weights of the unchanged block, averaged over heads."""
        return self.block.attn.weights(self.q_BND, self.k_BND).mean(1)

    def heads(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return self.block.attn.split_heads(x_BND)

    def attend(self, x_BHNd: Tensor, bias_NN: Tensor | None = None) -> Tensor:
        """Self-self attention ``softmax(x x' / sqrt(d) + bias) v`` of the patches, per head.

        Patches attend to the class token and registers, whose own output is not computed.

        Args:
            x_BHNd: tensor that serves as queries and keys, (B, heads, N, d = D / heads).
            bias_NN: bias on the logits, shared by all heads.

        Returns:
            Output (B, h * w, D) with the heads concatenated.
        """
        query_BHMd, value_BHNd = x_BHNd[:, :, self.prefix :], self.heads(self.v_BND)
        if bias_NN is None:
            out_BHMd = attend(query_BHMd, x_BHNd, value_BHNd)
        else:
            bias_MN = bias_NN[self.prefix :].to(x_BHNd.dtype)
            out_BHMd = F.scaled_dot_product_attention(query_BHMd, x_BHNd, value_BHNd, bias_MN)
        return out_BHMd.transpose(1, 2).flatten(2)

    def project(self, output_BND: Tensor) -> Tensor:
        """Output projection of attention, with layer scale."""
        return self.block.ls_1(self.block.attn.out_proj(output_BND))

    def finish(self, x: Tensor) -> Tensor:
        """Second half of the block: the MLP and its residual."""
        return x + self.block.ls_2(self.block.mlp(self.block.ln_2(x)))
