"""Early rejection of SED by its definition: a category survives where it is among the best."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from ovss_plugins.sed import GradualDecoder
from torch import Tensor, nn

from ovss.axes import take
from ovss.heads.cosine import CosineHead
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

LEVELS, COUNT = (5, 6), 9


def best(logits_Khw: Tensor, k: int) -> list[int]:
    """Categories that are among the best k of some cell, cell by cell."""
    kept = set()
    for cell_K in logits_Khw.flatten(1).T.tolist():
        kept.update(sorted(range(len(cell_K)), key=lambda c: -cell_K[c])[:k])
    return sorted(kept)


def restricted(alignment: Alignment, kept: list[int]) -> Alignment:
    """Alignment of some categories, as if there were no others."""
    one = take(alignment, K=torch.tensor(kept))
    keep_1T = torch.zeros(1, COUNT, dtype=torch.bool)
    keep_1T[0, kept] = True
    return Alignment(one.cost_BKDhw, one.features, one.text, Selection.from_mask(keep_1T))


@torch.no_grad()
def test_both_stages_reject():
    torch.manual_seed(3)
    k = 1
    sizes = dict(cost_dim=3, dim=16, stage_dims=(12, 8), guides=(4, 4), kernel=3, heads=2, expand=2)
    decoder = GradualDecoder(LEVELS, top_k=k, pool=(1, 1), **sizes)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    dense = torch.randn(1, 8, 2, 3)
    levels = tuple(torch.randn(1, dim, 2, 3) for dim in LEVELS)
    text = TextFeatures(F.normalize(torch.randn(COUNT, 3, 8), dim=-1).flip(0))
    image = ImageFeatures(dense, dense.mean((2, 3)), levels)
    alignment = CosineHead(3)(image, text, Selection.everything(1, COUNT))

    # in training nothing is rejected, and the logits of each stage's input are returned
    first = best(decoder.train()(alignment).aux[0][0], k)
    remaining = decoder(restricted(alignment, first)).aux[1][0]
    second = [first[slot] for slot in best(remaining, k)]
    assert COUNT > len(first) > len(second), "each stage rejects a category"
    assert second != first[: len(second)], "the survivors are not simply the first ones"

    masks = decoder.eval()(alignment)
    assert masks.selection.index_BK.tolist() == [second]
    assert masks.logits_BKHW.shape == (1, len(second), 8, 12)
