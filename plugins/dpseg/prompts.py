"""Visual prompts as tensors, and how they are mixed with text (eq. a and b of the README)."""

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
    """What a frozen image encoder says of pictures that stand for categories.

    Args:
        embeds_TPC: V, image embeddings, one for each category and template.
        levels: GAP(V_j), averaged feature maps, each (T, P, level_dim), shallow first.
        found_T: False where a category has none; its rows are zero then.
    """

    embeds_TPC: Tensor
    levels: tuple[Tensor, ...]
    found_T: Tensor

    def __post_init__(self) -> None:
        check_axes(self)

    def to(self, device: torch.device) -> VisualPrompts:
        levels = tuple(level.to(device) for level in self.levels)
        return VisualPrompts(self.embeds_TPC.to(device), levels, self.found_T.to(device))


def dual_prompts(
    text: TextFeatures, visual: VisualPrompts, fusion: str = "average", pre_norm: bool = True
) -> TextFeatures:
    """R = (V + T) / 2, L2-normalised; the levels are the visual ones.

    A category without visual prompts takes its text for them (V := T); its levels are zero, so its
    cosines with any cell are.

    Args:
        fusion: ``average``, or ``text`` or ``visual`` alone.
        pre_norm: V has length 1 before the mean, as T always has; otherwise the encoder's own.
    """
    text_TPC, visual_TPC = text.embeds_TPC, visual.embeds_TPC.to(text.embeds_TPC)
    if pre_norm:
        visual_TPC = F.normalize(visual_TPC, dim=2)
    visual_TPC = torch.where(visual.found_T[:, None, None], visual_TPC, text_TPC)
    mixed_TPC = {"text": text_TPC, "visual": visual_TPC}.get(fusion, (visual_TPC + text_TPC) / 2)
    return TextFeatures(F.normalize(mixed_TPC, dim=2), visual.levels, text.vocabulary)


def replaced(
    visual: VisualPrompts,
    categories: list[int],
    embeds_NC: Tensor,
    levels: tuple[Tensor, ...],
    alpha: float = 1.0,
) -> VisualPrompts:
    """Prompts of some categories moved towards new ones, under every template alike.

    (1 - alpha) old + alpha new, both of length 1 (lengths count for nothing in a cosine) unless
    alpha is 1. A category that had none takes the new ones.

    Args:
        categories: N of the T categories.
        embeds_NC, levels: their new prompts; each level (N, level_dim).
        alpha: 1 replaces, 0 changes nothing.
    """
    rows_N = torch.tensor(categories, device=visual.found_T.device)
    had_N11 = visual.found_T[rows_N][:, None, None]

    def moved(old_TPD: Tensor, new_ND: Tensor) -> Tensor:
        new_N1D = new_ND.to(old_TPD)[:, None]
        mixed_NPD = new_N1D.expand(-1, old_TPD.shape[1], -1)
        if alpha < 1:
            old_NPD, new_NPD = F.normalize(old_TPD[rows_N], dim=2), F.normalize(mixed_NPD, dim=2)
            mixed_NPD = torch.where(had_N11, (1 - alpha) * old_NPD + alpha * new_NPD, mixed_NPD)
        return old_TPD.index_copy(0, rows_N, mixed_NPD.contiguous())

    found_T = visual.found_T.index_fill(0, rows_N, True)
    new_levels = tuple(map(moved, visual.levels, levels))
    return VisualPrompts(moved(visual.embeds_TPC, embeds_NC), new_levels, found_T)
