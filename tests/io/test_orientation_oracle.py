"""EXIF orientations by the table of the standard, pixel by pixel, and as Pillow turns images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from ovss.io.images import read_image
from ovss.io.tiles import LazyImage

STORED = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3) * 2
SIDES = {  # side of the upright image that the first stored row and the first stored column show
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Upright image, by the place of every stored pixel."""
    rows, columns = stored.shape[:2]
    sides = SIDES[orientation]
    is_turned = sides[0] in ("left", "right")
    out = np.empty((columns, rows, 3) if is_turned else stored.shape, stored.dtype)
    height, width = out.shape[:2]
    for row, column in np.ndindex(rows, columns):
        y = x = 0
        for side, step in zip(sides, (row, column)):
            if side == "top":
                y = step
            elif side == "bottom":
                y = height - 1 - step
            elif side == "left":
                x = step
            else:
                x = width - 1 - step
        out[y, x] = stored[row, column]
    return out


@pytest.mark.parametrize("orientation", SIDES)
def test_every_orientation(tmp_path, orientation):
    image = Image.fromarray(STORED)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    expected = upright(STORED, orientation)
    assert (read_image(tmp_path / "a.png") == expected).all()
    with Image.open(tmp_path / "a.png") as opened:
        assert (np.asarray(ImageOps.exif_transpose(opened)) == expected).all()
    lazy = LazyImage(tmp_path / "a.png")
    assert lazy.size == expected.shape[:2]
    assert (lazy.crop(1, 4, 2, 5) == expected[1:4, 2:5]).all()
