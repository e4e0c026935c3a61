"""Outlines of masks: exact areas, holes, and rings that keep them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ovss.drawing.outlines import mask_polygons, ring_area


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (12, 17)])
def test_areas_are_numbers_of_pixels(size, density):
    mask_HW = np.random.default_rng(3).random(size) < density
    polygons = mask_polygons(mask_HW)
    assert sum(polygon.area for polygon in polygons) == mask_HW.sum()
    for polygon in polygons:
        assert ring_area(polygon.outer) > 0
        assert all(ring_area(hole) < 0 for hole in polygon.holes)
        assert ring_area(polygon.single_ring()) == polygon.area


def test_a_frame_has_one_hole_and_the_corners_of_its_pixels():
    mask_HW = np.ones((6, 8), bool)
    mask_HW[2:4, 3:5] = False
    (polygon,) = mask_polygons(mask_HW)
    assert sorted(map(tuple, polygon.outer)) == [(0, 0), (0, 6), (8, 0), (8, 6)]
    (hole,) = polygon.holes
    assert sorted(map(tuple, hole)) == [(3, 2), (3, 4), (5, 2), (5, 4)]
    # enlarged, so that the pixels on the line that Pillow draws do not count
    image = Image.new("1", (80, 60))
    ring = polygon.single_ring() * 10
    ImageDraw.Draw(image).polygon([tuple(point) for point in ring], fill=1)
    assert (np.asarray(image)[5::10, 5::10] == mask_HW).all()


def test_an_island_in_a_hole_is_a_region_of_its_own():
    mask_HW = np.ones((9, 9), bool)
    mask_HW[2:7, 2:7] = False
    mask_HW[4, 4] = True
    assert [polygon.area for polygon in mask_polygons(mask_HW)] == [56, 1]


def test_simplified_outlines_have_fewer_points_and_nearly_the_area():
    y, x = np.mgrid[:200, :200]
    mask_HW = (x - 100) ** 2 + (y - 100) ** 2 < 90**2
    (exact,), (simple,) = mask_polygons(mask_HW), mask_polygons(mask_HW, tolerance=1.0)
    assert len(simple.outer) < len(exact.outer) / 5
    assert simple.area == pytest.approx(exact.area, rel=0.02)


def test_an_empty_mask_has_no_outlines():
    assert mask_polygons(np.zeros((4, 4), bool)) == []
