"""How the last block of a vision tower makes dense tokens: one pure function per way.

The last block of CLIP was trained for its class token only; what it does to patches is a by-product
that mixes places. Each function here takes the block with its input and gives the patches' output
tokens. To add a way, write a function and put it into `DENSE_MODES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

__all__ = ["DENSE_MODES", "DenseMode", "LastBlock"]


@dataclass(frozen=True)
class LastBlock:
    """The last block of a tower and what goes into it.

    Everything derived is computed when it is first read, so a way of making dense tokens pays for
    queries and keys only if it uses them.

    Args:
        block: the transformer block (ln_1, attn, ls_1, ln_2, mlp, ls_2).
        tokens_BND: its input: the class token, then h * w patches.
    """

    block: nn.Module
    tokens_BND: Tensor

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

    def moved_patches(self, value_BND: Tensor) -> Tensor:
        """Values through the output projection, for the patches only."""
        return self.block.ls_1(self.block.attn.out_proj(value_BND[:, 1:]))

    def finish(self, x: Tensor) -> Tensor:
        """The second half of the block: the MLP and its residual."""
        return x + self.block.ls_2(self.block.mlp(self.block.ln_2(x)))


def cat_seg(last: LastBlock) -> Tensor:
    """Each patch's own value, added to the class token's input (CAT-Seg, CVPR 2024 code).

    The residual is the class token's, broadcast to all patches, not the patch's own.
    """
    return last.finish(last.tokens_BND[:, :1] + last.moved_patches(last.v_BND))


def maskclip(last: LastBlock) -> Tensor:
    """Each patch's own value, added to its own input (MaskCLIP, ECCV 2022, section 3.2)."""
    return last.finish(last.tokens_BND[:, 1:] + last.moved_patches(last.v_BND))


def vanilla(last: LastBlock) -> Tensor:
    """The block as it was pre-trained, attention between all tokens included."""
    return last.ordinary_BND[:, 1:]


DenseMode = Callable[[LastBlock], Tensor]
DENSE_MODES: dict[str, DenseMode] = {
    "cat_seg": cat_seg,
    "maskclip": maskclip,
    "vanilla": vanilla,
}
