"""Text transformer of open_clip, run on token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["TextRules", "embed_prompts", "embed_tokens", "project", "text_tower"]


@dataclass(frozen=True)
class TextRules:
    """Attention mask, pooling and length of a text tower, from the model config.

    Args:
        causal: True if no token sees a later one, so tokens after the end mark have no effect.
        pool: position of the pooled token: ``"argmax"`` (the end mark has the highest id),
            ``"eos"``, ``"first"`` or ``"last"``.
        eos_id: id of the end mark, used with ``"eos"``.
        context_length: largest number of tokens.
    """

    causal: bool
    pool: str
    eos_id: int
    context_length: int

    @classmethod
    def from_config(cls, text_config: dict[str, Any]) -> TextRules:
        """Reads ``text_cfg`` of an open_clip model config."""
        return cls(
            causal=not text_config.get("no_causal_mask", False),
            pool=text_config.get("pool_type", "argmax"),
            eos_id=text_config.get("eos_id", 2),
            context_length=text_config.get("context_length", 77),
        )

    @property
    def can_shorten(self) -> bool:
        """True if dropping all tokens after the end mark gives exactly the same embedding.

        Prompts that start with the same tokens then share the keys and values of these tokens.
        """
        return self.causal and self.pool in ("argmax", "eos")

    def shortened(self, ids: list[int]) -> list[int]:
        """Ids of one prompt without those after the pooled token; needs `can_shorten`."""
        mark = max(ids) if self.pool == "argmax" else self.eos_id
        return ids[: ids.index(mark) + 1] if mark in ids else ids[:1]


def text_tower(clip: nn.Module) -> nn.Module:
    """Module that holds the parts of the text tower: `clip` itself, or its ``text``."""
    return dict(clip.named_children()).get("text", clip)


def embed_prompts(
    tower: nn.Module, rules: TextRules, ids_NL: Tensor, context_MD: Tensor | None = None
) -> Tensor:
    """Computes the embeddings (N, C) of token ids. They are differentiable and not normalised.

    Args:
        tower: text tower.
        rules: rules of the tower.
        ids_NL: token ids.
        context_MD: learned vectors that follow the start mark of every prompt; None for none.
    """
    x_NLD = embed_tokens(tower, ids_NL, context_MD)
    position_N = _pooled_position(rules, ids_NL) + (
        0 if context_MD is None else context_MD.shape[0]
    )
    for block in tower.transformer.resblocks:
        x_NLD = x_NLD + block.ls_1(block.attn(block.ln_1(x_NLD), causal=rules.causal))
        x_NLD = x_NLD + block.ls_2(block.mlp(block.ln_2(x_NLD)))
    rows_N = torch.arange(position_N.shape[0], device=position_N.device)
    return project(tower, x_NLD[rows_N, position_N])


def embed_tokens(
    tower: nn.Module, ids_NL: Tensor, context_MD: Tensor | None = None, start: int = 0
) -> Tensor:
    """Input (N, L + M, D) of the first block: token and position embeddings.

    Args:
        tower: text tower.
        ids_NL: token ids.
        context_MD: learned vectors to insert after the first token; None for none.
        start: position of the first token.
    """
    dtype = tower.transformer.get_cast_dtype()
    x_NLD = tower.token_embedding(ids_NL).to(dtype)
    if context_MD is not None:
        context_NMD = context_MD.to(dtype).expand(ids_NL.shape[0], -1, -1)
        x_NLD = torch.cat([x_NLD[:, :1], context_NMD, x_NLD[:, 1:]], dim=1)
    return x_NLD + tower.positional_embedding[start : start + x_NLD.shape[1]].to(dtype)


def project(tower: nn.Module, x_ND: Tensor) -> Tensor:
    """Embeddings (N, C) of pooled tokens (N, D), not normalised."""
    x_ND = tower.ln_final(x_ND)
    if tower.text_projection is None:
        return x_ND
    if isinstance(tower.text_projection, nn.Module):
        return tower.text_projection(x_ND)
    return x_ND @ tower.text_projection


def _pooled_position(rules: TextRules, ids_NL: Tensor) -> Tensor:
    """Position (N,) of the token whose output becomes the embedding."""
    if rules.pool == "argmax":
        return ids_NL.argmax(1)
    if rules.pool == "eos":
        return (ids_NL == rules.eos_id).int().argmax(1)
    position = 0 if rules.pool == "first" else ids_NL.shape[1] - 1
    return ids_NL.new_full((ids_NL.shape[0],), position)
