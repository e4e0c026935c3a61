"""Maps of categories from masks of regions, merged at the size that is asked for.

The order is that of the published methods: mask logits are resized to the padded input of the
encoder, cropped to the image, resized to the requested size; then the sigmoid; then the sum over
the proposals, weighted by the shares. Rows of the result are computed in bands, because the masks
of a hundred proposals at the size of a large image do not fit into memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.layers.chunks import rows_at_once
from ovss.ops import at_least_single, resize_axis, resize_rows, source_rows, without_autocast
from ovss.structures import RegionMasks, RegionScores

__all__ = ["COVERED", "VALUES", "Blocks", "region_blocks", "region_maps"]

Regions = RegionMasks | RegionScores
COVERED = 1e-9
"""Smallest best score of a pixel about which any proposal says something."""

Blocks = Iterator[tuple[slice, slice, Tensor]]
"""Rows and slots of a block, and its maps (B, k, rows, W)."""

VALUES = 1 << 24
"""Values of a block on a CPU, 64 MiB."""


def region_maps(regions: Regions, size: tuple[int, int]) -> Tensor:
    """Maps (B, K, *size) of all kept categories."""
    shape = (*regions.share_BKQ.shape[:2], *size)
    maps_BKHW = regions.share_BKQ.new_empty(shape)
    for rows, part, maps_BkRW in region_blocks(regions, size):
        maps_BKHW[:, part, rows] = maps_BkRW
    return maps_BKHW


def region_blocks(regions: Regions, size: tuple[int, int], chunk: int | None = None) -> Blocks:
    """Yields the maps of the categories in blocks of bounded memory.

    Args:
        regions: masks of the proposals, and the shares of the categories in them.
        size: requested (height, width).
        chunk: number of categories in a block; None takes as many as fit into 64 MiB.
    """
    if regions.merge_at_input:
        yield from _merged_at_input(regions, size, chunk)
        return
    values = rows_at_once(VALUES, regions.mask_BQhw, 1)
    for rows in _bands(regions.mask_BQhw.shape[:2].numel() * size[1], size[0], values):
        prob_BQRW = _weights(_mask_rows(regions, size, rows), regions.ownership)
        for part in _chunks(regions, prob_BQRW.shape[2] * size[1], chunk):
            yield rows, part, _merge(regions.share_BKQ[:, part], prob_BQRW)


def _merged_at_input(regions: Regions, size: tuple[int, int], chunk: int | None) -> Blocks:
    """Blocks of scores that are merged at the size of the input, and then resized."""
    own = regions.padding.image if regions.padding else None
    height, width = own or regions.mask_BQhw.shape[-2:]
    batch, queries = regions.mask_BQhw.shape[:2]
    source = max(1, math.ceil(height / size[0]))  # rows of the input for a row of the result
    values = rows_at_once(VALUES, regions.mask_BQhw, 1)
    for rows in _bands(batch * queries * width * source, size[0], values):
        needed = source_rows(height, size[0], rows)
        mask_BQRw = _mask_rows(regions, (height, width), needed)
        prob_BQRw = _weights(mask_BQRw, regions.ownership)
        pixels = max(prob_BQRw.shape[2] * width, (rows.stop - rows.start) * size[1])
        for part in _chunks(regions, pixels, chunk):
            maps_BkRw = _merge(regions.share_BKQ[:, part], prob_BQRw)
            yield rows, part, resize_rows(maps_BkRw, size, rows, height, needed.start)


def _weights(mask_BQRW: Tensor, ownership: str) -> Tensor:
    """Weight of each proposal at each pixel, see `ovss.regions.OWNERSHIPS`."""
    if ownership == "sigmoid":
        return mask_BQRW.sigmoid()
    if ownership == "softmax":
        return mask_BQRW.softmax(1)
    owner_B1RW = mask_BQRW.argmax(1, keepdim=True)
    return torch.zeros_like(mask_BQRW).scatter_(1, owner_B1RW, 1.0)


def _mask_rows(regions: Regions, size: tuple[int, int], rows: slice) -> Tensor:
    """Rows of the mask logits at the requested size, (B, Q, rows, W).

    Each of the two resizes is a linear map of rows and one of columns. The maps of an axis are
    multiplied first, so that maps of the size of the padded input are never made.
    """
    device = regions.mask_BQhw.device
    vertical, horizontal = _axes(regions, size)
    if vertical.is_identity and horizontal.is_identity:
        return at_least_single(regions.mask_BQhw[:, :, rows])
    needed = vertical.source(rows)
    mask_BQhw = at_least_single(regions.mask_BQhw[:, :, needed])
    row_Rh = vertical.matrix(rows, needed, device).to(mask_BQhw)
    every_w, every_W = slice(0, horizontal.cells), slice(0, size[1])
    column_Ww = horizontal.matrix(every_W, every_w, device).to(mask_BQhw)
    # columns first, because a band has few source rows; half precision would move borders
    with without_autocast(device):
        return row_Rh @ (mask_BQhw @ column_Ww.T)


@dataclass(frozen=True)
class _Axis:
    """One axis of masks that are resized to the padded input, cropped, and resized again.

    Args:
        cells: length of the masks.
        padded: length of the padded input; equal to `cells` without padding.
        image: length of the image in it.
        length: requested length.
    """

    cells: int
    padded: int
    image: int
    length: int

    @property
    def is_identity(self) -> bool:
        return self.cells == self.padded and self.image == self.length

    def source(self, part: slice) -> slice:
        """Cells of the masks that a part of the result depends on."""
        return source_rows(self.cells, self.padded, source_rows(self.image, self.length, part))

    def matrix(self, part: slice, source: slice, device: torch.device) -> Tensor:
        """Matrix (part, source) of both resizes, float64."""
        every_hh = torch.eye(self.cells, dtype=torch.float64, device=device)
        first_Hh = resize_axis(every_hh, self.padded)[: self.image, source]
        return resize_axis(first_Hh, self.length, part)


def _axes(regions: Regions, size: tuple[int, int]) -> tuple[_Axis, _Axis]:
    cells, padding = regions.mask_BQhw.shape[-2:], regions.padding
    padded = padding.padded if padding else cells
    image = padding.image if padding else cells
    vertical, horizontal = (
        _Axis(*lengths) for lengths in zip(cells, padded, image, size, strict=True)
    )
    return vertical, horizontal


def _merge(share_BkQ: Tensor, prob_BQRW: Tensor) -> Tensor:
    prob_BQRW = prob_BQRW.to(share_BkQ.dtype)  # masks may be of another precision
    with without_autocast(share_BkQ.device):
        return (share_BkQ @ prob_BQRW.flatten(2)).unflatten(2, prob_BQRW.shape[2:])


def _bands(values_of_row: int, height: int, values: int) -> Iterator[slice]:
    """Bands of rows, as many rows in each as fit."""
    step = max(1, values // values_of_row)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _chunks(regions: Regions, pixels: int, chunk: int | None) -> Iterator[slice]:
    batch, kept = regions.share_BKQ.shape[:2]
    values = rows_at_once(VALUES, regions.share_BKQ, 1)
    step = chunk or max(1, values // (batch * pixels))
    for start in range(0, kept, step):
        yield slice(start, start + step)
