"""Names written on regions: in the region, in the image, never over another name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ovss.drawing.region_names import write_names


def written(labels_HW: np.ndarray, names: dict[int, str], size: int = 16) -> np.ndarray:
    """Mask of the pixels that names changed."""
    grey = Image.new("RGB", labels_HW.shape[::-1], (120, 120, 120))
    return (np.asarray(write_names(grey, labels_HW, names, size)) != 120).any(2)


def test_a_name_lies_well_inside_its_region():
    labels_HW = np.full((300, 400), -1)
    labels_HW[100:200, 150:350] = 0
    changed = written(labels_HW, {0: "cat"})
    rows, columns = changed.nonzero()
    assert (labels_HW[changed] == 0).all()
    assert abs(rows.mean() - 150) < 6
    assert 170 < columns.mean() < 330


def test_each_region_gets_its_own_name():
    labels_HW = np.repeat(np.arange(4), 60)[:, None].repeat(200, 1)
    changed = written(labels_HW, {i: f"name {i}" for i in range(4)})
    assert all(changed[labels_HW == i].any() for i in range(4))


@pytest.mark.parametrize("shape", [(5, 5), (3, 400), (400, 3), (40, 60)])
def test_names_without_room_are_left_out(shape):
    labels_HW = np.zeros(shape, int)
    assert not written(labels_HW, {0: "a name that is far too long for such an image"}).any()


def test_names_stay_in_the_image_and_apart():
    labels_HW = np.zeros((60, 240), int)
    labels_HW[:, :30], labels_HW[:, 210:] = 1, 2
    apart = written(labels_HW, {0: "middle", 1: "left side", 2: "right side"})
    alone = [written(labels_HW, {i: n}) for i, n in enumerate(("middle", "left side"))]
    assert not apart[[0, -1]].any()
    assert not apart[:, [0, -1]].any()
    assert apart.sum() >= sum(mask.sum() for mask in alone)  # nothing was painted over


def test_unknown_pixels_have_no_name():
    assert not written(np.full((100, 100), -1), {0: "cat"}).any()
