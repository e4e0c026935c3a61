"""Text tower of an open_clip model as a function of token ids, for export."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import PromptTower

from .text_transformer import TextRules, embed_prompts

__all__ = ["TransformerTower"]


class TransformerTower(PromptTower):
    """Text transformer that embeds prompts.

    Args:
        tower: text tower.
        rules: its rules.
        tokenizer: open_clip's byte-pair tokenizer.
        context_MD: learned vectors that follow the start mark of every prompt; None for none.
        last: number of channels to keep, the last ones, normalised again; 0 for all of them.
    """

    def __init__(
        self,
        tower: nn.Module,
        rules: TextRules,
        tokenizer: Any,
        context_MD: nn.Parameter | None = None,
        last: int = 0,
    ) -> None:
        super().__init__()
        self.tower, self.rules, self.tokenizer = tower, rules, tokenizer
        self.context_MD, self.last = context_MD, last
        learned = 0 if context_MD is None else context_MD.shape[0]
        self.context_length, self.is_free = rules.context_length - learned, rules.can_shorten

    def forward(self, ids_NL: Tensor) -> Tensor:
        """
        Args:
            ids_NL: token ids. After the end mark they have no influence if `is_free`.
        """
        embeds_NC = embed_prompts(self.tower, self.rules, ids_NL, self.context_MD)
        embeds_NC = F.normalize(embeds_NC.float(), dim=-1)
        return F.normalize(embeds_NC[:, -self.last :], dim=-1) if self.last else embeds_NC
