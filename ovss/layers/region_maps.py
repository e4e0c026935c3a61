"""Maps of categories from masks of regions, merged at the size that is asked for.

The order is that of the published methods: mask logits are resized to the padded input of the
encoder, cropped to the image, resized to the requested size; then the sigmoid; then the sum over
the proposals, weighted by the shares. Rows of the result are computed in bands, because the masks
of a hundred proposals at the size of a large image do not fit into memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from ovss.ops import resize_rows, source_rows
from ovss.structures import RegionMasks, RegionScores

__all__ = ["Blocks", "region_blocks", "region_maps"]

Regions = RegionMasks | RegionScores
Blocks = Iterator[tuple[slice, slice, Tensor]]
"""Rows and slots of a block, and its maps (B, k, rows, W)."""

VALUES = 1 << 24
"""Values of a block, 64 MiB."""


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
    for rows in _bands(regions.mask_BQhw.shape[:2].numel() * size[1], size[0]):
        prob_BQRW = _mask_rows(regions, size, rows).sigmoid()
        for part in _chunks(regions, prob_BQRW.shape[2] * size[1], chunk):
            yield rows, part, _merge(regions.share_BKQ[:, part], prob_BQRW)


def _merged_at_input(regions: Regions, size: tuple[int, int], chunk: int | None) -> Blocks:
    """Blocks of scores that are merged at the size of the input, and then resized."""
    own = regions.padding.image if regions.padding else None
    height, width = own or regions.mask_BQhw.shape[-2:]
    batch, queries = regions.mask_BQhw.shape[:2]
    rows_per_row = max(1, math.ceil(height / size[0]))
    for rows in _bands(batch * queries * width * rows_per_row, size[0]):
        needed = source_rows(height, size[0], rows)
        prob_BQRw = _mask_rows(regions, (height, width), needed).sigmoid()
        pixels = max(prob_BQRw.shape[2] * width, (rows.stop - rows.start) * size[1])
        for part in _chunks(regions, pixels, chunk):
            maps_BkRw = _merge(regions.share_BKQ[:, part], prob_BQRw)
            yield rows, part, resize_rows(maps_BkRw, size, rows, height, needed.start)


def _mask_rows(regions: Regions, size: tuple[int, int], rows: slice) -> Tensor:
    """Rows of the mask logits at the requested size, (B, Q, rows, W)."""
    mask_BQhw, padding = regions.mask_BQhw, regions.padding
    if padding is None:
        return resize_rows(mask_BQhw, size, rows)
    height, width = padding.image
    needed = source_rows(height, size[0], rows)
    input_BQRW = resize_rows(mask_BQhw, padding.padded, needed)[..., :width]
    return resize_rows(input_BQRW, size, rows, height, needed.start)


def _merge(share_BkQ: Tensor, prob_BQRW: Tensor) -> Tensor:
    prob_BQRW = prob_BQRW.to(share_BkQ.dtype)  # masks may be of another precision
    return (share_BkQ @ prob_BQRW.flatten(2)).unflatten(2, prob_BQRW.shape[2:])


def _bands(values_of_row: int, height: int) -> Iterator[slice]:
    """Bands of rows, as many rows in each as fit."""
    step = max(1, VALUES // values_of_row)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _chunks(regions: Regions, pixels: int, chunk: int | None) -> Iterator[slice]:
    batch, kept = regions.share_BKQ.shape[:2]
    step = chunk or max(1, VALUES // (batch * pixels))
    for start in range(0, kept, step):
        yield slice(start, start + step)
