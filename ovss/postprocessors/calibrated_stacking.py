"""Calibrated stacking: categories seen in training need a margin to win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ovss.interfaces import PostProcessor
from ovss.registry import POSTPROCESSORS
from ovss.structures import RegionScores, Scores
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import SeenNames

CERTAIN = 100.0
"""Logit whose sigmoid is exactly 1."""


@POSTPROCESSORS.register_module()
class CalibratedStacking(PostProcessor):
    """Subtracts a constant from the scores of the categories seen in training.

    A model that was trained with the seen categories prefers them (Chao et al., ECCV 2016). SPNet
    subtracts 0.6 from probabilities, ZegCLIP and ZegFormer 0.1. The constant may follow the merging
    of views and the resizing, because both are linear and leave a constant as it is.

    Scores in factored form stay so: the constant becomes a region that covers the image, with a
    negative share in the seen categories, or where proposals compete for pixels, a part of their
    shares.

    Args:
        gamma: constant to subtract.
        seen: categories of training, as a registered vocabulary, a text file or class names. A
            category counts as seen if it shares a synonym with one of them.

    Raises:
        ValueError: a negative `gamma`.
    """

    reads_regions = True

    def __init__(self, gamma: float, seen: str | Sequence[str]) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(
                f"CalibratedStacking expects gamma of at least 0, got {gamma}. Correct it."
            )
        self.gamma, self.seen = gamma, SeenNames(load_names(seen) if len(seen) else ())

    @torch.no_grad()
    def forward(self, scores: Scores | RegionScores) -> Scores | RegionScores:
        seen_T = scores.text.seen_T(self.seen)
        if seen_T is None or not self.gamma:
            return scores
        selection = scores.selection
        seen_BK = selection.gather(seen_T.to(selection.index_BK.device)) & selection.valid_BK
        if isinstance(scores, Scores):
            shift_BK = self.gamma * seen_BK.to(scores.probs_BKHW)
            return replace(scores, probs_BKHW=scores.probs_BKHW - shift_BK[:, :, None, None])
        shift_BK = self.gamma * seen_BK.to(scores.share_BKQ)
        if scores.ownership == "sigmoid":
            return _with_region(scores, -shift_BK)
        # where proposals compete, their weights at a pixel sum to one
        return replace(scores, share_BKQ=scores.share_BKQ - shift_BK[:, :, None])


def _with_region(scores: RegionScores, share_BK: Tensor) -> RegionScores:
    """Adds a region that covers the whole image."""
    everywhere_B1hw = torch.full_like(scores.mask_BQhw[:, :1], CERTAIN)
    return replace(
        scores,
        share_BKQ=torch.cat([scores.share_BKQ, share_BK[:, :, None]], dim=2),
        mask_BQhw=torch.cat([scores.mask_BQhw, everywhere_B1hw], dim=1),
    )
