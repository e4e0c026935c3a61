"""Crops by index and weight, against the usual functions on slices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from ovss.layers.crops import average_taps, bicubic_taps, cut, mask_extents, nearest_index

BOXES = [(0, 0, 40, 60), (3, 5, 4, 6), (7, 0, 39, 59), (39, 59, 40, 60), (10, 20, 12, 55)]
"""(top, left, bottom, right), the latter two exclusive."""


def masks(height: int = 40, width: int = 60) -> torch.Tensor:
    mask_NHW = torch.zeros(len(BOXES), height, width, dtype=torch.bool)
    for mask_HW, (top, left, bottom, right) in zip(mask_NHW, BOXES):
        mask_HW[top, left] = mask_HW[bottom - 1, right - 1] = True
    return mask_NHW


def extents(dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    first_N, last_N, filled_N = mask_extents(masks(), dim)
    assert filled_N.all()
    return first_N, last_N


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(BOXES), 40, 60, 3, generator=generator, dtype=torch.float64)


def test_extents():
    assert extents(1)[0].tolist() == [box[0] for box in BOXES]
    assert extents(2)[1].tolist() == [box[3] - 1 for box in BOXES]
    _, _, filled_N = mask_extents(torch.zeros(1, 4, 5, dtype=torch.bool), 1)
    assert filled_N.tolist() == [False]


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (70, 70)])
def test_bicubic_crops_are_those_of_interpolate(size):
    rows, columns = (
        bicubic_taps(*extents(dim), side, torch.float64) for dim, side in zip((1, 2), size)
    )
    found = cut(images(), rows, columns)
    for crop, image_HW3, (top, left, bottom, right) in zip(found, images(), BOXES):
        slice_13hw = image_HW3[top:bottom, left:right].permute(2, 0, 1)[None]
        expected = F.interpolate(slice_13hw, size=size, mode="bicubic", align_corners=False)
        assert torch.allclose(crop, expected[0], atol=1e-12)


@pytest.mark.parametrize("size", [8, 16, 70])
def test_averaged_crops_are_those_of_roi_align(size):
    image_NHW3, rows, columns = images(), extents(1), extents(2)
    taps = [
        average_taps(first_N - 0.5, last_N - first_N, size, lines, torch.float64)
        for (first_N, last_N), lines in zip((rows, columns), (40, 60))
    ]
    found = cut(image_NHW3, *taps)
    box_N5 = torch.stack([torch.arange(len(BOXES)), columns[0], rows[0], columns[1], rows[1]], 1)
    expected = roi_align(
        image_NHW3.permute(0, 3, 1, 2), box_N5.double(), size, sampling_ratio=-1, aligned=True
    )
    some = [0, 2, 4]  # the other boxes have no area
    assert torch.allclose(found[some], expected[some], atol=1e-12)


def test_nearest_lines_are_those_of_interpolate():
    first_N, last_N = extents(2)
    index_NS = nearest_index(first_N, last_N, 16)
    for row_S, first, last in zip(index_NS, first_N, last_N):
        line_L = torch.arange(int(first), int(last) + 1, dtype=torch.float64)[None, None]
        assert torch.equal(F.interpolate(line_L, size=16)[0, 0].long(), row_S)


def test_crops_need_no_values():
    """Shapes suffice, so that nothing waits for the device and costs can be counted."""
    mask_NHW = masks().to("meta")
    first_N, last_N, _ = mask_extents(mask_NHW, 1)
    rows = bicubic_taps(first_N, last_N, 8, torch.float32)
    columns = bicubic_taps(*mask_extents(mask_NHW, 2)[:2], 8, torch.float32)
    assert cut(images().float().to("meta"), rows, columns).shape == (5, 3, 8, 8)
