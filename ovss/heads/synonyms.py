"""Synonyms that are names of their own: the best one counts for its category."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.structures import Selection, TextFeatures

__all__ = ["SynonymGroups", "group_synonyms"]


@dataclass(frozen=True)
class SynonymGroups:
    """Kept names of each image, grouped by their category.

    Args:
        selection: one name for each category that has a kept name: the first of them.
        group_BK: slot of `selection` for each kept name, and one slot more for padding;
            None if each name is a category.
    """

    selection: Selection
    group_BK: Tensor | None = None

    def highest(self, logits_BKQ: Tensor) -> Tensor:
        """Highest logit of each category's names, (B, G, Q) for the G slots of `selection`."""
        if self.group_BK is None:
            return logits_BKQ
        batch, count = self.selection.index_BK.shape
        queries = logits_BKQ.shape[2]
        highest_BGQ = logits_BKQ.new_full((batch, count + 1, queries), -torch.inf)
        group_BKQ = self.group_BK[:, :, None].expand(-1, -1, queries)
        highest_BGQ = highest_BGQ.scatter_reduce(1, group_BKQ, logits_BKQ, "amax")[:, :count]
        return highest_BGQ.masked_fill(~self.selection.valid_BK[:, :, None], 0.0)


def group_synonyms(text: TextFeatures, selection: Selection) -> SynonymGroups:
    """Groups the kept names of each image by their category.

    Args:
        text: text features of the names.
        selection: kept names.
    """
    if text.owner_T is None:
        return SynonymGroups(selection)
    # there are no more categories than names, so that this number stands for padding
    batch, other = selection.index_BK.shape[0], selection.num_categories
    owner_BK = text.owner_T[selection.index_BK].masked_fill(~selection.valid_BK, other)
    first_BT = torch.full((batch, other + 1), other, device=owner_BK.device)
    first_BT = first_BT.scatter_reduce(1, owner_BK, selection.index_BK, "amin")
    is_first_BK = first_BT.gather(1, owner_BK) == selection.index_BK
    narrow, slot_BG = selection.narrow(is_first_BK)
    owner_BG = owner_BK.gather(1, slot_BG).masked_fill(~narrow.valid_BK, other)
    group_G = torch.arange(owner_BG.shape[1], device=owner_BG.device)
    group_BT = torch.zeros_like(first_BT).scatter_(1, owner_BG, group_G.expand_as(owner_BG))
    group_BK = group_BT.gather(1, owner_BK).masked_fill(~selection.valid_BK, group_G.shape[0])
    return SynonymGroups(narrow, group_BK)
