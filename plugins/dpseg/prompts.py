"""Visual prompts as tensors, and their mix with text (R in the README)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.axes import check_axes
from ovss.structures import TextFeatures

FUSIONS = ("average", "text", "visual")


@dataclass(frozen=True)
class VisualPrompts:
    """Features of a frozen image encoder for example images of each category.

    Args:
        embeds_TPC: V, image embeddings for each category and template.
        levels: GAP(V_j), averaged feature maps, each (T, P, level_dim), shallow first.
        found_T: False for a category without visual prompts, whose rows are zero.
    """

    embeds_TPC: Tensor
    levels: tuple[Tensor, ...]
    found_T: Tensor

    def __post_init__(self) -> None:
        check_axes(self)

    def to(self, device: torch.device) -> VisualPrompts:
        """Copies the prompts to a device."""
        levels = tuple(level.to(device) for level in self.levels)
        return VisualPrompts(self.embeds_TPC.to(device), levels, self.found_T.to(device))


def dual_prompts(
    text: TextFeatures, visual: VisualPrompts, fusion: str = "average", pre_norm: bool = True
) -> TextFeatures:
    """Mixes text and visual prompts, R = (V + T) / 2, L2-normalised.

    The levels of the result are those of the visual prompts. A category without visual prompts uses
    its text instead (V := T). Its levels are zero, and so are their cosines with any cell.

    Args:
        text: text features T.
        visual: visual prompts V.
        fusion: ``average``, or ``text`` or ``visual`` for one of them alone.
        pre_norm: normalisation of V to norm 1 before the mean, which T always has.
    """
    text_TPC, visual_TPC = text.embeds_TPC, visual.embeds_TPC.to(text.embeds_TPC)
    if pre_norm:
        visual_TPC = F.normalize(visual_TPC, dim=2)
    visual_TPC = torch.where(visual.found_T[:, None, None], visual_TPC, text_TPC)
    mixed_TPC = {"text": text_TPC, "visual": visual_TPC}.get(fusion, (visual_TPC + text_TPC) / 2)
    return TextFeatures(F.normalize(mixed_TPC, dim=2), visual.levels, text.vocabulary)


def replace_prompts(
    visual: VisualPrompts,
    categories: list[int],
    embeds_NC: Tensor,
    levels: tuple[Tensor, ...],
    alpha: float = 1.0,
) -> VisualPrompts:
    """Moves the prompts of some categories towards new ones, in the same way for every template.

    The result is (1 - alpha) old + alpha new. Both have norm 1 unless alpha is 1, where norms do
    not matter because prompts enter cosines only. A category without prompts gets the new ones.

    Args:
        visual: visual prompts to start from, left unchanged.
        categories: indices of N of the T categories.
        embeds_NC: new embeddings of these categories.
        levels: new levels of these categories, each (N, level_dim).
        alpha: weight of the new prompts; 1 replaces the old ones, 0 changes nothing.
    """
    rows_N = torch.tensor(categories, device=visual.found_T.device)
    found_N11 = visual.found_T[rows_N][:, None, None]

    def move(old_TPD: Tensor, new_ND: Tensor) -> Tensor:
        new_N1D = new_ND.to(old_TPD)[:, None]
        mixed_NPD = new_N1D.expand(-1, old_TPD.shape[1], -1)
        if alpha < 1:
            old_NPD, new_NPD = F.normalize(old_TPD[rows_N], dim=2), F.normalize(mixed_NPD, dim=2)
            mixed_NPD = torch.where(found_N11, (1 - alpha) * old_NPD + alpha * new_NPD, mixed_NPD)
        return old_TPD.index_copy(0, rows_N, mixed_NPD.contiguous())

    found_T = visual.found_T.index_fill(0, rows_N, True)
    new_levels = tuple(map(move, visual.levels, levels))
    return VisualPrompts(move(visual.embeds_TPC, embeds_NC), new_levels, found_T)
