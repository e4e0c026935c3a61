"""Label maps from merged scores, in blocks of bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.layers.chunks import rows_at_once
from ovss.layers.region_maps import VALUES, Blocks, region_blocks, region_maps
from ovss.ops import resize
from ovss.structures import RegionScores, Scores

from .contenders import is_worth_pruning, pruned_labels

__all__ = ["best_labels", "dense_scores", "label_map", "score_blocks"]


def label_map(scores: Scores | RegionScores, size: tuple[int, int]) -> Tensor:
    """Label maps (B, *size): indices into T at another resolution; the lower index wins a tie."""
    return best_labels(scores, size)[0]


def best_labels(
    scores: Scores | RegionScores, size: tuple[int, int], chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Label maps and the score of each pixel's label at another resolution, each (B, *size).

    Args:
        scores: merged scores.
        size: requested (height, width).
        chunk: number of categories resized at once, so memory does not depend on the number of
            categories. None takes as many as fit into 64 MiB on a CPU and 1 GiB elsewhere, but at
            least one; where it takes less time, it resizes the categories only where they can win,
            see `pruned_labels`.
    """
    if isinstance(scores, Scores) and chunk is None and is_worth_pruning(scores.probs_BKHW, size):
        return _pruned(scores, size)
    index_BK, valid_BK = scores.selection.index_BK, scores.selection.valid_BK
    values = scores.probs_BKHW if isinstance(scores, Scores) else scores.share_BKQ
    best_BHW = values.new_full((index_BK.shape[0], *size), -torch.inf)
    label_BHW = torch.zeros_like(best_BHW, dtype=torch.long)
    for rows, part, maps_BkHW in score_blocks(scores, size, chunk):
        if not scores.selection.full:
            maps_BkHW = maps_BkHW.masked_fill(~valid_BK[:, part, None, None], -torch.inf)
        top_BHW, slot_BHW = maps_BkHW.max(1)
        index_BHW = torch.gather(index_BK[:, part], 1, slot_BHW.flatten(1)).view_as(slot_BHW)
        better_BHW = top_BHW > best_BHW[:, rows]
        best_BHW[:, rows] = torch.where(better_BHW, top_BHW, best_BHW[:, rows])
        label_BHW[:, rows] = torch.where(better_BHW, index_BHW, label_BHW[:, rows])
    return label_BHW, best_BHW


def _pruned(scores: Scores, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Result of `best_labels`, image by image."""
    selection, labels, best = scores.selection, [], []
    for probs_KHW, valid_K, index_K in zip(
        scores.probs_BKHW, selection.valid_BK, selection.index_BK, strict=True
    ):
        slot_HW, best_HW = pruned_labels(probs_KHW, valid_K, size)
        labels.append(index_K[slot_HW])
        best.append(best_HW)
    return torch.stack(labels), torch.stack(best)


def score_blocks(
    scores: Scores | RegionScores, size: tuple[int, int], chunk: int | None = None
) -> Blocks:
    """Yields the maps of the categories at another resolution, in blocks of bounded memory.

    Args:
        scores: merged scores.
        size: requested (height, width).
        chunk: number of categories in a block; None takes as many as fit into 64 MiB on a CPU and
            1 GiB elsewhere.

    Yields:
        Rows and slots of a block, and its maps (B, k, rows, W).
    """
    if isinstance(scores, RegionScores):
        yield from region_blocks(scores, size, chunk)
        return
    batch, kept = scores.probs_BKHW.shape[:2]
    values = rows_at_once(VALUES, scores.probs_BKHW, 1)
    chunk = chunk or max(1, values // (batch * size[0] * size[1]))
    for start in range(0, kept, chunk):
        part = slice(start, start + chunk)
        yield slice(0, size[0]), part, resize(scores.probs_BKHW[:, part], size)


def dense_scores(scores: Scores | RegionScores, size: tuple[int, int] | None = None) -> Scores:
    """Scores with one map per category; those of regions are merged.

    Args:
        scores: merged scores.
        size: (height, width) at which regions are merged; None: that of the canvas.
    """
    if isinstance(scores, Scores):
        return scores
    height, width = scores.canvas_B3YX.shape[-2:]
    maps_BKHW = region_maps(scores, size or (height, width))
    return Scores(maps_BKHW, scores.selection, scores.features, scores.text, scores.canvas_B3YX)
