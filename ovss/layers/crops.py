"""Crops of masked regions, all of one size, cut without waiting for their boxes on the host.

The box of a mask is known on the device only. Slicing would need it on the host, so each crop is
read instead by index and weight: a row of the crop is a weighted sum of a few rows of the image,
and a column a weighted sum of a few columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Taps", "average_taps", "bicubic_taps", "cut", "mask_extents", "nearest_index"]

CUBIC = -0.75
"""Parameter of the cubic kernel, as in `torch.nn.functional.interpolate`."""


@dataclass(frozen=True)
class Taps:
    """Lines of an image that make the lines of a crop, along one axis.

    Args:
        index_NSK: line of the image, for N crops of S lines from K lines each.
        weight_NSK: weight of that line.
    """

    index_NSK: Tensor
    weight_NSK: Tensor


def mask_extents(mask_NHW: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """First line of each mask with a pixel, last line, and False for empty masks.

    Args:
        mask_NHW: boolean masks. The lines of an empty mask are those of the whole image.
        dim: 1 for rows, 2 for columns.

    >>> mask = torch.tensor([[[0, 1], [0, 1], [0, 0]]], dtype=torch.bool)
    >>> [x.item() for x in mask_extents(mask, 1)]
    [0, 1, True]
    """
    has_NL = mask_NHW.any(3 - dim)
    first_N = has_NL.int().argmax(1)
    last_N = has_NL.shape[1] - 1 - has_NL.flip(1).int().argmax(1)
    return first_N, last_N, has_NL.any(1)


def bicubic_taps(first_N: Tensor, last_N: Tensor, size: int, dtype: torch.dtype) -> Taps:
    """Lines from `first_N` to `last_N`, resized to `size` lines by cubic interpolation.

    The result is that of `torch.nn.functional.interpolate` on the slice: no anti-aliasing, corners
    not aligned, the border lines repeated.
    """
    length_N1 = (last_N - first_N + 1)[:, None]
    line_S = torch.arange(size, device=first_N.device, dtype=dtype) + 0.5
    place_NS = line_S * (length_N1.to(dtype) / size) - 0.5
    floor_NS = place_NS.floor()
    shift_K = torch.arange(-1, 3, device=first_N.device)
    distance_NSK = (place_NS - floor_NS)[:, :, None] - shift_K
    index_NSK = floor_NS.long()[:, :, None] + shift_K
    index_NSK = index_NSK.clamp(min=0).minimum(length_N1[:, :, None] - 1)
    return Taps(first_N[:, None, None] + index_NSK, _cubic(distance_NSK.abs()))


def average_taps(
    start_N: Tensor, length_N: Tensor, size: int, lines: int, dtype: torch.dtype
) -> Taps:
    """Lines from `start_N` on, averaged to `size` lines (RoIAlign, ICCV 2017, section 3).

    Each line of the crop is the mean of evenly spaced samples, as many as whole lines of the image
    fall on it, rounded up. Samples are interpolated linearly between the centres of lines.

    Args:
        start_N: place of the box's border; the centre of the first line is at 0.
        length_N: length of the box.
        size: number of lines of the crop.
        lines: number of lines of the image.
        dtype: number type of the weights.
    """
    step_N1 = length_N.to(dtype)[:, None] / size
    samples_N1 = step_N1.ceil().clamp(min=1)
    sample_J = torch.arange(math.ceil(lines / size), device=start_N.device, dtype=dtype)
    line_S = torch.arange(size, device=start_N.device, dtype=dtype)
    part_NJ = (sample_J + 0.5) / samples_N1
    place_NSJ = step_N1[:, :, None] * (line_S[:, None] + part_NJ[:, None])
    place_NSJ = (start_N.to(dtype)[:, None, None] + place_NSJ).clamp(0, lines - 1)
    low_NSJ = place_NSJ.floor()
    share_NSJ = place_NSJ - low_NSJ
    weight_N1J = ((sample_J < samples_N1) / samples_N1)[:, None]
    index_NSJ = low_NSJ.long()
    return Taps(
        torch.cat([index_NSJ, (index_NSJ + 1).clamp(max=lines - 1)], dim=2),
        torch.cat([weight_N1J * (1 - share_NSJ), weight_N1J * share_NSJ], dim=2),
    )


def nearest_index(first_N: Tensor, last_N: Tensor, size: int) -> Tensor:
    """Line (N, S) of the image for each line of a crop, by the nearest line."""
    line_S = torch.arange(size, device=first_N.device)
    return first_N[:, None] + line_S * (last_N - first_N + 1)[:, None] // size


def cut(pixels_NHWc: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Crops (N, c, S, S) of N images.

    Args:
        pixels_NHWc: images, channels last.
        rows, columns: lines that make the lines of each crop.
    """
    channels = pixels_NHWc.shape[3]
    half_NSM = _lines(pixels_NHWc.flatten(2), rows).unflatten(2, (-1, channels))
    crop_NSM = _lines(half_NSM.transpose(1, 2).flatten(2), columns)
    return crop_NSM.unflatten(2, (-1, channels)).permute(0, 3, 2, 1)


def _lines(x_NLM: Tensor, taps: Taps) -> Tensor:
    """Weighted sums (N, S, M) of lines."""
    number_N1 = torch.arange(x_NLM.shape[0], device=x_NLM.device)[:, None]
    total_NSM = x_NLM.new_zeros(*taps.index_NSK.shape[:2], x_NLM.shape[2])
    for index_NS, weight_NS in zip(taps.index_NSK.unbind(2), taps.weight_NSK.unbind(2)):
        total_NSM.addcmul_(x_NLM[number_N1, index_NS], weight_NS[:, :, None])
    return total_NSM


def _cubic(x: Tensor) -> Tensor:
    """Cubic convolution kernel at distances of 0 to 2."""
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return torch.where(x <= 1, near, far)
