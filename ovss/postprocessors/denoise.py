from __future__ import annotations

from dataclasses import replace

import torch

from ovss.interfaces import PostProcessor
from ovss.io.option_values import check_range
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores


@POSTPROCESSORS.register_module()
class Denoise(PostProcessor):
    """Drops categories whose best pixel has a low score (RADSeg, arXiv 2511.19704).

    A category that is confident nowhere is probably not in the image, so it loses all its pixels.
    The best synonym counts for its category. The category with the highest score of the image stays
    in any case, because every pixel needs a label.

    Args:
        threshold: score that the best pixel of a category must reach, 0.5 in RADSeg.

    Raises:
        ValueError: a threshold outside 0..1.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        check_range("Denoise", 0, 1, threshold=threshold)
        self.threshold = threshold

    @torch.no_grad()
    def forward(self, scores: Scores) -> Scores:
        old, category_T = scores.selection, scores.text.category_T
        peak_BK = scores.probs_BKHW.flatten(2).amax(2).masked_fill(~old.valid_BK, -torch.inf)
        category_BK = old.gather(category_T.to(old.index_BK.device))
        peak_BT = peak_BK.new_full((old.batch, category_T.shape[0]), -torch.inf)
        peak_BT.scatter_reduce_(1, category_BK, peak_BK, "amax")
        best_BT = peak_BT == peak_BT.amax(1, keepdim=True)
        keep_BK = ((peak_BT >= self.threshold) | best_BT).gather(1, category_BK) & old.valid_BK
        new, slot_BK = old.narrow(keep_BK)
        shape = (*slot_BK.shape, *scores.probs_BKHW.shape[2:])
        probs_BKHW = scores.probs_BKHW.gather(1, slot_BK[:, :, None, None].expand(shape))
        return replace(scores, probs_BKHW=probs_BKHW, selection=new)
