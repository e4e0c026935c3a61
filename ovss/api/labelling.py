"""Label maps of large images with many categories, in time that hardly follows their number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.inference import best_labels
from ovss.structures import RegionScores, Scores

__all__ = ["labels_in_blocks", "labels_of"]

DIRECT = 1 << 26
"""Number of probabilities up to which every category is resized to the size of the image."""

BLOCK = 32  # px: side of the blocks
_AT_ONCE = 32  # categories whose bounds are computed at once
_ROUNDING = 1e-5  # relative error of interpolation, with room


def labels_of(scores: Scores | RegionScores, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Label map and score of each pixel of one image, each (1, *size), in bounded memory and time.

    Args:
        scores: merged scores of one image.
        size: (height, width) of the image.
    """
    if isinstance(scores, RegionScores):
        return best_labels(scores, size)  # bands of rows, a matrix product each
    if scores.probs_BKHW.shape[1] * size[0] * size[1] <= DIRECT:
        return best_labels(scores, size)
    return labels_in_blocks(scores, size)


def labels_in_blocks(scores: Scores, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Result of `best_labels`, up to rounding, from the categories that can win in each block.

    A pixel is a weighted mean of neighbouring cells. Inside a block, a category therefore stays
    between its smallest and its largest value at a few sample points. It can win a pixel only if
    its largest value reaches the smallest value of every other category. Of a thousand categories,
    a few are left.

    Args:
        scores: merged scores of one image.
        size: (height, width) of the image.
    """
    probs_KHW, valid_K = scores.probs_BKHW[0], scores.selection.valid_BK[0]
    index_K = scores.selection.index_BK[0]
    rows, columns = (
        _Axis.of(old, new, probs_KHW.device) for old, new in zip(probs_KHW.shape[1:], size)
    )
    winners = _possible_winners(probs_KHW, valid_K, rows, columns)
    label_HW = index_K.new_empty(size)
    best_HW = probs_KHW.new_empty(size, dtype=torch.float32)
    for number, slot_N in enumerate(winners):
        row, column = divmod(number, len(columns.blocks))
        down, across = rows.blocks[row], columns.blocks[column]
        cells_Nhw = probs_KHW[slot_N, down.cells, :][..., across.cells].float()
        probs_NHW = down.weights @ cells_Nhw @ across.weights.T
        top_HW, first_HW = probs_NHW.max(0)  # the lower index wins a tie
        best_HW[down.pixels, across.pixels] = top_HW
        label_HW[down.pixels, across.pixels] = index_K[slot_N][first_HW]
    return label_HW[None], best_HW[None]


@dataclass(frozen=True)
class _Block:
    """Block along one axis: its pixels, the cells around them, and the weights (pixels, cells)."""

    pixels: slice
    cells: slice
    weights: Tensor


@dataclass(frozen=True)
class _Axis:
    """Blocks of one axis, and the R sample points of each in units of cells, (blocks, R)."""

    blocks: list[_Block]
    samples: Tensor

    @classmethod
    def of(cls, cells: int, length: int, device: torch.device) -> _Axis:
        """Cuts `length` pixels over `cells` cells into blocks."""
        place = (torch.arange(length, dtype=torch.float64) + 0.5) * (cells / length) - 0.5
        place = place.clamp(0, cells - 1)
        low = place.floor().long().clamp(max=max(cells - 2, 0))
        is_start = torch.arange(length) % BLOCK == 0
        wide = length > BLOCK * cells  # a cell is wider than a block, which stays inside of it
        if wide:
            is_start[1:] |= low[1:] != low[:-1]
        starts = is_start.nonzero()[:, 0].tolist()
        ends = [*starts[1:], length]
        blocks, samples = [], []
        for start, end in zip(starts, ends):
            first, last = int(low[start]), min(int(low[end - 1]) + 1, cells - 1)
            right = (place[start:end] - low[start:end]).to(torch.float32)
            weights = torch.zeros(end - start, last - first + 1)
            pixel = torch.arange(end - start)
            weights[pixel, low[start:end] - first] = 1 - right
            if cells > 1:
                weights[pixel, low[start:end] - first + 1] += right
            blocks.append(_Block(slice(start, end), slice(first, last + 1), weights.to(device)))
            # a straight line has its extrema at the ends, a bent one at the cells
            ends_of = (float(place[start]), float(place[end - 1]))
            samples.append(ends_of if wide else tuple(map(float, range(first, last + 1))))
        count = max(map(len, samples))
        padded = [(*each, *each[-1:] * (count - len(each))) for each in samples]
        return cls(blocks, torch.tensor(padded, device=device))


def _possible_winners(
    probs_KHW: Tensor, valid_K: Tensor, rows: _Axis, columns: _Axis
) -> tuple[Tensor, ...]:
    """Slots of the categories that can win in each block, row by row."""
    highest, floor_hw = [], None
    for part_kHW, valid_k in zip(probs_KHW.split(_AT_ONCE), valid_K.split(_AT_ONCE), strict=True):
        at_khw = _sampled(_sampled(part_kHW.float(), rows, 1), columns, 2)
        blocks = at_khw.view(len(part_kHW), *rows.samples.shape, *columns.samples.shape)
        high_khw, low_khw = blocks.amax((2, 4)), blocks.amin((2, 4))
        invalid_k11 = ~valid_k[:, None, None]
        highest.append(high_khw.masked_fill(invalid_k11, -torch.inf))
        low_hw = low_khw.masked_fill(invalid_k11, -torch.inf).amax(0)
        floor_hw = low_hw if floor_hw is None else torch.maximum(floor_hw, low_hw)
    assert floor_hw is not None
    floor_hw = floor_hw - _ROUNDING * floor_hw.abs()
    wins_MK = torch.cat([(high_khw >= floor_hw).flatten(1) for high_khw in highest]).T
    slots = wins_MK.nonzero()[:, 1]
    return slots.split(wins_MK.sum(1).tolist())


def _sampled(maps_kHW: Tensor, axis: _Axis, dim: int) -> Tensor:
    """Values at the sample points of an axis."""
    place = axis.samples.flatten()
    low = place.floor().long()
    high = (low + 1).clamp(max=maps_kHW.shape[dim] - 1)
    shape = [1, 1, 1]
    shape[dim] = -1
    share = (place - low).view(shape)
    return torch.lerp(maps_kHW.index_select(dim, low), maps_kHW.index_select(dim, high), share)
