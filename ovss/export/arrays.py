"""Resizing and merging of maps in numpy, as `ovss.inference` does it in torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .description import RegionLayout

__all__ = ["Maps", "Regions", "activated", "labels_at", "resize_matrix", "resized", "union"]

Array = NDArray[np.float32]

BLOCK = 48  # px: approximate side of the blocks in which labels are found
_VALUES = 1 << 22  # values computed at once


@dataclass(frozen=True)
class Maps:
    """Values of the kept categories, and the category of each.

    Args:
        values_KYX: maps.
        index_K: categories, ascending.
    """

    values_KYX: Array
    index_K: NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """Masks of regions, and the shares of the kept categories in them.

    Args:
        share_KQ: share of each category in each region.
        mask_Qhw: mask logits.
        index_K: categories, ascending.
        layout: how masks become maps.
    """

    share_KQ: Array
    mask_Qhw: Array
    index_K: NDArray[np.int64]
    layout: RegionLayout

    def maps(self, size: tuple[int, int]) -> Maps:
        """Maps of all kept categories at a size."""
        values_KHW = np.concatenate([maps for _, maps in self.bands(size)], axis=1)
        return Maps(values_KHW, self.index_K)

    def bands(self, size: tuple[int, int]) -> Iterator[tuple[slice, Array]]:
        """Rows of the maps at a size, in bands of bounded memory, each (K, rows, W)."""
        if self.layout.merge_at_input:
            merged = self._bands(self.layout.image or self.mask_Qhw.shape[1:], resize=False)
            whole_Khw = np.concatenate([maps for _, maps in merged], axis=1)
            yield slice(0, size[0]), resized(whole_Khw, size)
            return
        yield from self._bands(size, resize=True)

    def _bands(self, size: Sequence[int], resize: bool) -> Iterator[tuple[slice, Array]]:
        rows_Hh, columns_Ww = (
            _region_matrix(self.mask_Qhw.shape[1 + axis], size[axis], self.layout, axis)
            for axis in (0, 1)
        )
        across_QhW = self.mask_Qhw @ columns_Ww.T
        largest = max(len(self.mask_Qhw), len(self.share_KQ))
        step = max(1, _VALUES // (largest * size[1]))
        for start in range(0, size[0], step):
            rows = slice(start, min(start + step, size[0]))
            weight_QRW = _weights(rows_Hh[rows] @ across_QhW, self.layout.ownership)
            maps_KN = self.share_KQ @ weight_QRW.reshape(len(weight_QRW), -1)
            yield rows, maps_KN.reshape(len(maps_KN), -1, size[1])


def _region_matrix(cells: int, length: int, layout: RegionLayout, axis: int) -> Array:
    """Matrix (length, cells) that resizes masks to the padded input, crops, and resizes again."""
    padded, image = (
        (cells, cells)
        if layout.padded is None or layout.image is None
        else (layout.padded[axis], layout.image[axis])
    )
    first = resize_matrix(cells, padded)[:image]
    return (resize_matrix(image, length) @ first).astype(np.float32)


def _weights(mask_QRW: Array, ownership: str) -> Array:
    """Weight of each region at each pixel, see `ovss.regions.OWNERSHIPS`."""
    if ownership == "sigmoid":
        return _sigmoid(mask_QRW)
    if ownership == "softmax":
        return _softmax(mask_QRW)
    owner_1RW = mask_QRW.argmax(0)[None]
    return (owner_1RW == np.arange(len(mask_QRW))[:, None, None]).astype(np.float32)


def resize_matrix(old: int, new: int) -> NDArray[np.float64]:
    """Matrix (new, old) of bilinear interpolation along an axis, without antialiasing.

    >>> resize_matrix(2, 4)[:, 1].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(place).astype(int)
    share = place - low
    matrix = np.zeros((new, old))
    matrix[np.arange(new), low] = 1 - share
    matrix[np.arange(new), np.minimum(low + 1, old - 1)] += share
    return matrix


def resized(maps_Nhw: Array, size: Sequence[int]) -> Array:
    """Maps resized by bilinear interpolation, (N, *size); the maps themselves at this size."""
    for axis in (1, 2):
        old, new = maps_Nhw.shape[axis], size[axis - 1]
        if old != new:
            place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
            low = np.floor(place).astype(int)
            share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
            first = maps_Nhw.take(low, axis)
            second = maps_Nhw.take(np.minimum(low + 1, old - 1), axis)
            second -= first
            second *= share
            maps_Nhw = np.add(first, second, out=first)
    return maps_Nhw


def activated(values_KYX: Array, activation: str) -> Array:
    """Probabilities of logits, computed in their memory."""
    if activation == "softmax":
        return _softmax(values_KYX)
    return _sigmoid(values_KYX) if activation == "sigmoid" else values_KYX


def _sigmoid(x: Array) -> Array:
    np.negative(x, out=x)
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, as it should be
        np.exp(x, out=x)
    x += 1
    return np.reciprocal(x, out=x)


def _softmax(x_K: Array) -> Array:
    x_K -= x_K.max(0, keepdims=True)
    np.exp(x_K, out=x_K)
    x_K /= x_K.sum(0, keepdims=True)
    return x_K


def union(indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Categories that any view keeps, ascending."""
    return np.unique(np.concatenate(indices))


def labels_at(
    scores: Maps | Regions, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Category of each pixel at a size, and its score; the lower index wins a tie."""
    if isinstance(scores, Regions):
        parts = [(maps.argmax(0), maps.max(0)) for _, maps in scores.bands(size)]
        slot_HW, best_HW = (np.concatenate(each) for each in zip(*parts, strict=True))
    else:
        slot_HW, best_HW = _best_slots(scores.values_KYX, size)
    return scores.index_K[slot_HW], best_HW


def _best_slots(
    values_Kyx: Array, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Best slot of each pixel, and its value, block by block.

    A pixel is a weighted mean of cells, so in a block a category stays between its smallest and its
    largest cell. Only categories whose largest cell reaches the highest smallest one are resized.
    """
    slot_HW, best_HW = np.zeros(size, np.int64), np.zeros(size, np.float32)
    rows, columns = (_blocks(old, new) for old, new in zip(values_Kyx.shape[1:], size, strict=True))
    for own, cells, row_Rr in rows:
        strip_KrX = values_Kyx[:, cells]
        lowest_KX, highest_KX = strip_KrX.min(1), strip_KrX.max(1)
        for across, other, column_Cc in columns:
            floor = lowest_KX[:, other].min(1).max()
            slot_N = np.flatnonzero(highest_KX[:, other].max(1) >= floor)
            maps_NRC = row_Rr @ strip_KrX[slot_N, :, other] @ column_Cc.T
            top_RC = maps_NRC.argmax(0)
            slot_HW[own, across] = slot_N[top_RC]
            best_HW[own, across] = np.take_along_axis(maps_NRC, top_RC[None], 0)[0]
    return slot_HW, best_HW


def _blocks(old: int, new: int) -> list[tuple[slice, slice, Array]]:
    """Blocks along an axis: pixels, the cells that they depend on, and the weights of these."""
    matrix = resize_matrix(old, new).astype(np.float32)
    blocks = []
    for start in range(0, new, BLOCK):
        rows = slice(start, min(start + BLOCK, new))
        used = np.flatnonzero(matrix[rows].any(0))
        cells = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((rows, cells, np.ascontiguousarray(matrix[rows, cells])))
    return blocks
