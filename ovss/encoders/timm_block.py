"""Blocks of timm's vision transformers, seen as the blocks that dense modes take apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.attention import attend

__all__ = ["TimmAttention", "TimmBlock", "block_problem"]


def block_problem(block: nn.Module) -> str | None:
    """Reason why a block cannot be taken apart, or None."""
    from timm.layers import Attention, AttentionRope
    from timm.models.eva import EvaAttention, EvaBlock
    from timm.models.vision_transformer import Block

    if type(block) not in (Block, EvaBlock):
        return f"its blocks are {type(block).__name__}, which cannot be taken apart"
    attention = block.attn
    if type(attention) not in (Attention, AttentionRope, EvaAttention):
        return f"its attention is {type(attention).__name__}"
    if attention.gate is not None:
        return "its attention has gates"
    if isinstance(attention, AttentionRope) and attention.num_kv_groups != 1:
        return "its queries share keys and values"
    return None


class TimmAttention:
    """Attention of a timm block with the methods of `attention.Attention`.

    Args:
        attention: timm's module.
        rope_Nd: sines and cosines of the grid; None without rotary positions.
        rotate: True if `query` and `key` carry rotary positions, for modes that compare them.
    """

    def __init__(self, attention: Any, rope_Nd: Tensor | None, rotate: bool) -> None:
        self.module, self.rope_Nd, self.rotate = attention, rope_Nd, rotate
        self.heads: int = attention.num_heads

    def __call__(self, normed_BND: Tensor) -> Tensor:
        """Attention as pre-trained."""
        if self.rope_Nd is None:
            return self.module(normed_BND)
        return self.module(normed_BND, rope=self.rope_Nd)

    def query(self, x_BND: Tensor) -> Tensor:
        """Queries of all heads, (B, N, D)."""
        return self._seen(self._part(x_BND, 0))

    def key(self, x_BND: Tensor) -> Tensor:
        """Keys of all heads, (B, N, D)."""
        return self._seen(self._part(x_BND, 1))

    def value(self, x_BND: Tensor) -> Tensor:
        """Values of all heads, (B, N, D)."""
        return self._part(x_BND, 2)

    def split_heads(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def out_proj(self, output_BND: Tensor) -> Tensor:
        """Output projection, after the norm of towers that have one."""
        return self.module.proj(self.module.norm(output_BND))

    def attend_from_first(self, x_BND: Tensor, value_BND: Tensor) -> Tensor:
        """Attention output (B, D) of the first token, the class token, which has no position."""
        query_BH1d = self.split_heads(self._part(x_BND[:, :1], 0))
        key_BHNd = self._rotated(self.split_heads(self._part(x_BND, 1)))
        out_BH1d = attend(query_BH1d, key_BHNd, self.split_heads(value_BND))
        return self.out_proj(out_BH1d.transpose(1, 2).flatten(2))[:, 0]

    def _seen(self, part_BND: Tensor) -> Tensor:
        """Queries or keys as dense modes compare them."""
        if not self.rotate or self.rope_Nd is None:
            return part_BND
        return self._rotated(self.split_heads(part_BND)).transpose(1, 2).flatten(2)

    def _rotated(self, part_BHNd: Tensor) -> Tensor:
        """Queries or keys of patches with their rotary positions."""
        from timm.layers.pos_embed_sincos import apply_rot_embed_cat

        if self.rope_Nd is None:
            return part_BHNd
        prefix = self.module.num_prefix_tokens
        turned = apply_rot_embed_cat(
            part_BHNd[:, :, prefix:], self.rope_Nd, half=self.module.rotate_half
        )
        return torch.cat([part_BHNd[:, :, :prefix], turned.to(part_BHNd.dtype)], dim=2)

    def _part(self, x_BND: Tensor, index: int) -> Tensor:
        """Queries (0), keys (1) or values (2), with their norms, (B, N, D)."""
        module = self.module
        apart = {name: part for name, part in module.named_children() if name.endswith("_proj")}
        if apart:
            part_BND = apart[f"{'qkv'[index]}_proj"](x_BND)
        else:
            width, bias = module.qkv.out_features // 3, self._bias()
            rows = slice(index * width, (index + 1) * width)
            own = None if bias is None else bias[rows]
            part_BND = F.linear(x_BND, module.qkv.weight[rows], own)
        norm: nn.Module = (module.q_norm, module.k_norm, nn.Identity())[index]
        if isinstance(norm, nn.Identity):
            return part_BND
        return norm(self.split_heads(part_BND)).transpose(1, 2).flatten(2)

    def _bias(self) -> Tensor | None:
        """Fused bias of queries, keys and values."""
        from timm.models.eva import EvaAttention

        module = self.module
        if isinstance(module, EvaAttention) and module.q_bias is not None:
            return torch.cat([module.q_bias, module.k_bias, module.v_bias])
        return module.qkv.bias


class TimmBlock:
    """Block of timm with the names that `last_block.LastBlock` reads.

    Args:
        block: timm's module, for which `block_problem` finds nothing.
        rope_Nd: sines and cosines of the grid; None without rotary positions.
        rotate: True if dense modes compare queries and keys with their rotary positions.
    """

    def __init__(self, block: Any, rope_Nd: Tensor | None = None, rotate: bool = False) -> None:
        from timm.models.eva import EvaBlock

        self.attn = TimmAttention(block.attn, rope_Nd, rotate)
        self.ln_1, self.ln_2, self.mlp = block.norm1, block.norm2, block.mlp
        is_eva = isinstance(block, EvaBlock)
        self.ls_1 = _scaled_by(block.gamma_1) if is_eva else block.ls1
        self.ls_2 = _scaled_by(block.gamma_2) if is_eva else block.ls2


def _scaled_by(gamma_D: Tensor | None) -> Callable[[Tensor], Tensor]:
    return (lambda x: x) if gamma_D is None else (lambda x: gamma_D * x)
