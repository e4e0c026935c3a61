"""Tensor functions shared by several methods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .io.stored_rows import StoredRows
from .kernels.portions import split_rows
from .layers.chunks import rows_at_once

if TYPE_CHECKING:
    from .structures import Padding


def without_autocast(device: torch.device) -> torch.autocast:
    """Context in which autocast is off on a device; the meta device counts as a CPU."""
    return torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """Values in at least single precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def resize(x_BChw: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes maps bilinearly, without antialiasing and without aligning corners.

    Maps that already have the requested size are returned unchanged.

    >>> resize(torch.zeros(1, 2, 3, 4), (6, 8)).shape
    torch.Size([1, 2, 6, 8])
    """
    if tuple(x_BChw.shape[-2:]) == tuple(size):
        return x_BChw
    return F.interpolate(x_BChw, size=tuple(size), mode="bilinear", align_corners=False)


def resize_rows(
    x_BChw: Tensor, size: tuple[int, int], rows: slice, height: int | None = None, first: int = 0
) -> Tensor:
    """Some rows of maps resized to `size`, computed from the rows that they depend on.

    Args:
        x_BChw: rows of the maps, at least those of `source_rows`.
        size: (height, width) of the whole resized maps.
        rows: rows of the resized maps.
        height: number of rows of the whole maps; None if `x_BChw` has them all.
        first: row of the whole maps with which `x_BChw` starts.

    >>> x = torch.rand(1, 1, 5, 4)
    >>> rows = resize_rows(x, (9, 8), slice(3, 6))
    >>> torch.allclose(rows, resize(x, (9, 8))[:, :, 3:6], atol=1e-6)
    True
    """
    height = height or x_BChw.shape[2]
    if (rows.start, rows.stop) == (0, size[0]) and height == x_BChw.shape[2]:
        return resize(x_BChw, size)
    place_R = _places(height, size[0], x_BChw.device)[rows].clamp(0, height - 1) - first
    return resize(_sample(x_BChw, 2, place_R), (place_R.shape[0], size[1]))


def resize_axis(x: Tensor, new: int, part: slice | None = None) -> Tensor:
    """Resizes the first axis of a tensor as `resize` does.

    Args:
        x: values along the axis to resize.
        new: length of the resized axis.
        part: part of the resized axis; None for all.

    >>> resize_axis(torch.eye(2), 4)[:, 1].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    return _sample(x, 0, _places(len(x), new, x.device)[part or slice(None)])


def source_rows(height: int, new_height: int, rows: slice) -> slice:
    """Rows of a map of `height` rows that some rows of the resized map depend on.

    >>> source_rows(5, 10, slice(4, 6))
    slice(1, 4, None)
    """
    scale = height / new_height
    low = math.floor((rows.start + 0.5) * scale - 0.5)
    high = math.floor((rows.stop - 0.5) * scale - 0.5) + 1
    return slice(max(low, 0), min(high + 1, height))


def crop_padding(maps_BKhw: Tensor, padding: Padding | None) -> Tensor:
    """Part of maps of a padded input that shows the image, on a grid of about the same cells.

    Cells are cut off where the image ends between two of them, and interpolated otherwise.

    Args:
        maps_BKhw: maps that cover the padded input.
        padding: place of the image; None returns the maps unchanged.

    >>> from ovss.structures import Padding
    >>> crop_padding(torch.zeros(1, 1, 4, 4), Padding((32, 32), (32, 24))).shape
    torch.Size([1, 1, 4, 3])
    """
    if padding is None:
        return maps_BKhw
    sides = zip(padding.padded, padding.image, padding.start, strict=True)
    for dim, (whole, own, start) in enumerate(sides, 2):
        cells = maps_BKhw.shape[dim]
        kept = math.ceil(cells * own / whole)
        if kept * whole == cells * own and start * cells % whole == 0:
            maps_BKhw = maps_BKhw.narrow(dim, start * cells // whole, kept)
        else:
            maps_BKhw = _sample_part(maps_BKhw, dim, kept, whole, own, start)
    return maps_BKhw


def resize_image_part(maps_BKhw: Tensor, size: tuple[int, int], padding: Padding | None) -> Tensor:
    """Part of maps of a padded input that shows the image, resized to `size`.

    If `size` is that of the image in the input, the result is that of resizing the maps to the
    padded input and cutting the padding off.

    Args:
        maps_BKhw: maps that cover the padded input.
        size: (height, width) of the result.
        padding: place of the image; None: the maps cover the image.
    """
    if padding is None:
        return resize(maps_BKhw, size)
    sides = zip(size, padding.padded, padding.image, padding.start, strict=True)
    for dim, (length, whole, own, start) in enumerate(sides, 2):
        maps_BKhw = _sample_part(maps_BKhw, dim, length, whole, own, start)
    return maps_BKhw


def _sample_part(x: Tensor, dim: int, length: int, whole: int, own: int, start: int) -> Tensor:
    """`length` values along an axis of `whole` pixels, from `start` to `start + own`."""
    place_M = torch.arange(length, dtype=torch.float64, device=x.device) + 0.5
    pixel_M = place_M * (own / length) + start
    return _sample(x, dim, pixel_M * (x.shape[dim] / whole) - 0.5)


def _places(old: int, new: int, device: torch.device) -> Tensor:
    """Place of each of `new` cells among `old` cells, as `resize` samples them."""
    return (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * (old / new) - 0.5


def _sample(x: Tensor, dim: int, place_M: Tensor) -> Tensor:
    """Linear interpolation along an axis at places in units of cells, clamped to the axis."""
    place_M = place_M.clamp(0, x.shape[dim] - 1)
    low_M = place_M.floor().long()
    high_M = (low_M + 1).clamp(max=x.shape[dim] - 1)
    share_M = (place_M - low_M).to(x.dtype).view(-1, *(1,) * (x.ndim - 1 - dim))
    return torch.lerp(x.index_select(dim, low_M), x.index_select(dim, high_M), share_M)


def cosine_volume(dense_BChw: Tensor, text_BKPC: Tensor) -> Tensor:
    """Cosine similarity of every cell with every prompt of every kept category.

    Args:
        dense_BChw: dense tokens; they need not be normalised.
        text_BKPC: L2-normalised text embeddings.

    Returns:
        Cosines (B, K, P, h, w), not scaled by a temperature.

    >>> dense = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> cosine_volume(dense, torch.eye(2).view(1, 2, 1, 2)).flatten()
    tensor([0.6000, 0.8000])
    """
    height, width = dense_BChw.shape[-2:]
    unit_BCN = F.normalize(dense_BChw.flatten(2), dim=1)
    volume_BMN = text_BKPC.flatten(1, 2) @ unit_BCN
    return volume_BMN.view(*text_BKPC.shape[:3], height, width)


def max_cosine(dense_BChw: Tensor, text_TPC: Tensor | StoredRows, chunk: int = 4096) -> Tensor:
    """Highest cosine similarity of each category over all cells and prompts.

    Args:
        dense_BChw: dense tokens; they need not be normalised.
        text_TPC: L2-normalised text embeddings, such as `TextFeatures.source_TPC`.
        chunk: number of prompts compared at once on a CPU, which bounds the memory. The volume of
            all T categories is never held in memory.

    Returns:
        Scores (B, T).
    """
    unit_BCN = F.normalize(dense_BChw.flatten(2), dim=1)
    row = unit_BCN.shape[0] * unit_BCN.shape[2]
    step = max(1, rows_at_once(chunk, unit_BCN, row) // text_TPC.shape[1])
    parts = [
        (rows_TPC.flatten(0, 1) @ unit_BCN).amax(2).unflatten(1, rows_TPC.shape[:2]).amax(2)
        for rows_TPC in split_rows(text_TPC, step)
    ]
    return torch.cat(parts, dim=1)


def region_pool(dense_BChw: Tensor, masks_BKHW: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean dense token of each region.

    Args:
        dense_BChw: dense tokens.
        masks_BKHW: non-negative weights of each region at any resolution. They are averaged down to
            the feature grid.
        eps: lower bound of a region's total weight, which avoids division by zero.

    Returns:
        Weighted means (B, K, C); zero for an empty region.

    >>> dense = torch.arange(4.0).view(1, 1, 2, 2)
    >>> region_pool(dense, torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2)).item()
    1.0
    """
    grid = (dense_BChw.shape[2], dense_BChw.shape[3])
    weight_BKhw = masks_BKHW.to(dense_BChw.dtype)
    if weight_BKhw.shape[2:] != grid:
        weight_BKhw = F.adaptive_avg_pool2d(weight_BKhw, grid)
    weight_BKN = weight_BKhw.flatten(2)
    pooled_BKC = weight_BKN @ dense_BChw.flatten(2).transpose(1, 2)
    return pooled_BKC / weight_BKN.sum(2, keepdim=True).clamp(min=eps)
