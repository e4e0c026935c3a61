"""Label map of one image from the categories that can win in each block of pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.ops import resize

__all__ = ["is_worth_pruning", "pruned_labels"]

PLAIN = 1 << 23
"""Number of scores up to which every category is resized, which then takes less time."""

BLOCK = 32  # px: approximate side of a block
_LONGEST = 256  # px: longest side of a block, which counts where cells are larger
_AT_ONCE = 1 << 18  # scores compared at once, which stay in the processor's cache
_ROUNDING = 32  # error of an interpolated score in units of the last place, with room


def is_worth_pruning(probs_BKHW: Tensor, size: tuple[int, int]) -> bool:
    """True if `pruned_labels` serves these scores and takes less time than resizing all of them.

    Args:
        probs_BKHW: scores of the categories.
        size: (height, width) of the label maps.
    """
    # A GPU resizes a thousand maps in less time than it takes to start the work of the blocks.
    if probs_BKHW.device.type != "cpu" or probs_BKHW.dtype not in (torch.float32, torch.float64):
        return False
    pixels, cells = size[0] * size[1], probs_BKHW.shape[2:].numel()
    # Maps of the requested size need no resizing, and the pixels of small label maps are few.
    is_resized = tuple(probs_BKHW.shape[2:]) != tuple(size) and 2 * pixels > cells > 0
    return is_resized and probs_BKHW.shape[1] * pixels > PLAIN


def pruned_labels(
    probs_KHW: Tensor, valid_K: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Best slot of each pixel and its score, each of `size`, as from maps of every category.

    A pixel is a weighted mean of the four cells around it, the corners. Between them, a category
    stays within its smallest and its largest value at the corners. The floor is the highest
    smallest value of any category: a category with no corner at the floor wins no pixel there.

    Where two categories agree up to rounding, the scores of both are computed again by `resize`,
    so that the slots are the same. Scores agree up to rounding.

    Args:
        probs_KHW: scores of the categories.
        valid_K: True for slots that hold a category.
        size: (height, width) of the label map.
    """
    rows, columns = (_Axis.of(old, new, probs_KHW) for old, new in zip(probs_KHW.shape[1:], size))
    slot_HW = torch.zeros(size, dtype=torch.long)
    best_HW = probs_KHW.new_empty(size)
    near_HW = torch.zeros(size, dtype=torch.bool)
    near_K = torch.zeros_like(valid_K)
    wins_KRC = _contenders(probs_KHW, valid_K, rows, columns)
    epsilon = _ROUNDING * torch.finfo(probs_KHW.dtype).eps
    for down in rows.blocks:
        for across in columns.blocks:
            slot_N = wins_KRC[:, down.group, across.group].nonzero()[:, 0]
            cells_Nhw = probs_KHW[slot_N, down.cells, :][..., across.cells]
            probs_NHW = down.weights @ cells_Nhw @ across.weights.T
            top_HW, first_HW = probs_NHW.max(0)  # the lower slot wins a tie
            best_HW[down.pixels, across.pixels] = top_HW
            slot_HW[down.pixels, across.pixels] = slot_N[first_HW]
            if slot_N.shape[0] > 1:
                is_near_NHW = probs_NHW >= top_HW - epsilon * cells_Nhw.abs().max()
                is_tie_HW = is_near_NHW.sum(0) > 1
                if is_tie_HW.any():
                    near_HW[down.pixels, across.pixels] = is_tie_HW
                    near_K[slot_N[(is_near_NHW & is_tie_HW).flatten(1).any(1)]] = True
    _settle_ties(probs_KHW, near_K, near_HW, slot_HW, best_HW)
    return slot_HW, best_HW


def _settle_ties(
    probs_KHW: Tensor, near_K: Tensor, near_HW: Tensor, slot_HW: Tensor, best_HW: Tensor
) -> None:
    """Chooses the slots of some pixels again, from scores that `resize` computes.

    Args:
        probs_KHW: scores of the categories.
        near_K: slots that tie with another one at some pixel.
        near_HW: pixels at which they do.
        slot_HW: best slots, changed in place.
        best_HW: their scores, changed in place.
    """
    slot_N = near_K.nonzero()[:, 0]
    if not slot_N.shape[0]:
        return
    size = (near_HW.shape[0], near_HW.shape[1])
    top_M = best_HW.new_full((int(near_HW.sum()),), -torch.inf)
    winner_M = torch.zeros_like(top_M, dtype=torch.long)
    for slot in slot_N.tolist():
        value_M = resize(probs_KHW[None, slot : slot + 1], size)[0, 0][near_HW]
        better_M = value_M > top_M
        top_M = torch.where(better_M, value_M, top_M)
        winner_M[better_M] = slot
    best_HW[near_HW] = top_M
    slot_HW[near_HW] = winner_M


@dataclass(frozen=True)
class _Block:
    """Block along one axis.

    Args:
        group: number of the group of cells that the pixels lie between.
        pixels: its pixels.
        cells: cells around them.
        weights: weight of each cell at each pixel.
    """

    group: int
    pixels: slice
    cells: slice
    weights: Tensor


@dataclass(frozen=True)
class _Axis:
    """Blocks of one axis, between groups of `step` steps from a cell to the next."""

    blocks: list[_Block]
    groups: int
    step: int

    @classmethod
    def of(cls, cells: int, length: int, like: Tensor) -> _Axis:
        """Cuts `length` pixels over `cells` cells into blocks, with weights like a tensor."""
        # the weights with which `resize` computes, to the last digit
        one = torch.eye(cells, dtype=like.dtype)[None, None]
        weights_LC = resize(one, (length, cells))[0, 0]
        low_L = (weights_LC > 0).to(torch.uint8).argmax(1).clamp(max=max(cells - 2, 0))
        step = max(1, round(BLOCK * cells / length))
        group_L = low_L // step
        starts = [0]
        for pixel, changes in enumerate((group_L[1:] != group_L[:-1]).tolist(), 1):
            if changes or pixel - starts[-1] == _LONGEST:
                starts.append(pixel)
        blocks = []
        for start, end in zip(starts, [*starts[1:], length], strict=True):
            part = slice(int(low_L[start]), min(int(low_L[end - 1]) + 2, cells))
            weights = weights_LC[start:end, part].contiguous()
            blocks.append(_Block(int(group_L[start]), slice(start, end), part, weights))
        return cls(blocks, max(1, -(-(cells - 1) // step)), step)


def _contenders(probs_KHW: Tensor, valid_K: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
    """Categories that can win between the cells of each group, as booleans (K, R, C)."""
    at_once = max(1, _AT_ONCE // probs_KHW[0].numel())
    parts = list(zip(probs_KHW.split(at_once), valid_K.split(at_once), strict=True))
    floor_hw = None
    for part_kHW, valid_k in parts:
        low_khw = _corners(part_kHW, torch.minimum)
        if not valid_k.all():
            low_khw = low_khw.masked_fill(~valid_k[:, None, None], -torch.inf)
        low_hw = low_khw.amax(0)
        floor_hw = low_hw if floor_hw is None else torch.maximum(floor_hw, low_hw)
    assert floor_hw is not None
    floor_hw = floor_hw - _ROUNDING * torch.finfo(floor_hw.dtype).eps * floor_hw.abs()
    # A corner belongs to four places between cells: it has to reach the lowest of their floors.
    around_hw = floor_hw
    for dim, cells in enumerate(probs_KHW.shape[1:]):
        if cells > 1:
            first, last = around_hw.narrow(dim, 0, 1), around_hw.narrow(dim, cells - 2, 1)
            around_hw = torch.cat([first, around_hw, last], dim)
    need_HW = _corners(around_hw[None], torch.minimum)[0]
    wins = []
    for part_kHW, valid_k in parts:
        reaches_kHW = ~(part_kHW < need_HW)  # a score that is NaN does
        any_kRW = _any_in_groups(reaches_kHW.view(torch.uint8), 1, rows)
        wins.append(_any_in_groups(any_kRW, 2, columns).bool() & valid_k[:, None, None])
    return torch.cat(wins)


def _corners(maps_kHW: Tensor, lowest: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Lowest value of the four corners of each place between cells; an axis of one cell stays."""
    if maps_kHW.shape[1] > 1:
        maps_kHW = lowest(maps_kHW[:, :-1], maps_kHW[:, 1:])
    if maps_kHW.shape[2] > 1:
        maps_kHW = lowest(maps_kHW[:, :, :-1], maps_kHW[:, :, 1:])
    return maps_kHW


def _any_in_groups(is_set: Tensor, dim: int, axis: _Axis) -> Tensor:
    """Highest value of the cells of each group, of which neighbours share one."""
    lacking = axis.groups * axis.step + 1 - is_set.shape[dim]
    if lacking > 0:
        shape = list(is_set.shape)
        shape[dim] = lacking
        is_set = torch.cat([is_set, is_set.new_zeros(shape)], dim)
    inner = is_set.narrow(dim, 0, axis.groups * axis.step).unflatten(dim, (-1, axis.step))
    shared = is_set.narrow(dim, axis.step, (axis.groups - 1) * axis.step + 1)
    index = torch.arange(0, shared.shape[dim], axis.step)
    return torch.maximum(inner.amax(dim + 1), shared.index_select(dim, index))
