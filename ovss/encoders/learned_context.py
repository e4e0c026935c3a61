"""Learned vectors in place of the words of a prompt template."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ovss.io.option_values import check_range

from .open_clip_text import TextRules, text_tower

__all__ = ["learned_context"]

STD = 0.02
"""Standard deviation of the first values, as in CoOp and ZSSeg."""


def learned_context(
    clip: nn.Module, config: dict[str, Any], vectors: int, trains: bool
) -> nn.Parameter | None:
    """Creates the learned vectors (M, D) of prompts; None without such vectors.

    Args:
        clip: CLIP model, for the width of its text tower.
        config: model config.
        vectors: M, the number of vectors.
        trains: True if they train.

    Raises:
        ValueError: a negative number, or a text tower that needs prompts of a fixed length.
    """
    check_range("encoder", 0, prompt_vectors=vectors)
    if not vectors:
        return None
    if not TextRules.from_config(config["text_cfg"]).can_shorten:
        raise ValueError(
            "prompt_vectors needs a causal text tower that pools the end mark. Set it to 0 or use "
            "another CLIP model."
        )
    table = text_tower(clip).token_embedding.weight
    return nn.Parameter(torch.randn(vectors, table.shape[1]) * STD, requires_grad=trains)
