"""Tiled segmentation covers each pixel once, agrees with one pass, and holds one tile at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from ovss.api.tiles import segment_tiles, tile_spans
from ovss.io.images import read_image, to_rgb
from ovss.io.tiles import LazyImage

PIXELS = np.random.default_rng(0).integers(0, 255, (57, 83, 3), np.uint8)


def by_value(rgb_HW3):
    """Labels and probabilities that depend on the pixel alone."""
    labels_HW = rgb_HW3[..., 0].astype(np.int64) // 64
    return labels_HW, rgb_HW3[..., 1] / np.float32(255)


@pytest.mark.parametrize(("tile", "overlap"), [(20, 6), (16, 0), (57, 10), (200, 50), (7, 6)])
def test_tiles_agree_with_one_pass(tile, overlap):
    whole_HW, probs_HW = by_value(PIXELS)
    tiled = segment_tiles(PIXELS, by_value, 4, tile=tile, overlap=overlap)
    assert (tiled.label_map == whole_HW).all()
    assert tiled.label_map.dtype == np.int8
    assert (tiled.pixels == np.bincount(whole_HW.ravel(), minlength=4)).all()
    means = [probs_HW[whole_HW == i].mean() for i in range(4)]
    assert np.allclose(tiled.scores, means, atol=1e-5)


@pytest.mark.parametrize("length", [1, 10, 64, 65, 100, 1001])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 63), (10, 0), (1, 0)])
def test_spans_own_each_pixel_once_and_stay_inside(length, tile, overlap):
    spans = tile_spans(length, tile, overlap)
    assert [i for *_, first, end in spans for i in range(first, end)] == list(range(length))
    for start, stop, first, end in spans:
        assert 0 <= start <= first < end <= stop <= length
        assert stop - start == min(tile, length)
    for left, right in pairwise(spans):
        assert left[1] - right[0] >= overlap
        assert abs((left[1] - left[3]) - (right[2] - right[0])) <= 1  # the middle of the overlap


def test_seams_lie_where_tiles_are_equally_far():
    """Each pixel takes the label of the tile whose centre is nearest."""
    seen = []

    def numbered(rgb_HW3):
        seen.append(rgb_HW3.shape)
        return np.full(rgb_HW3.shape[:2], len(seen) - 1), np.ones(rgb_HW3.shape[:2])

    tiled = segment_tiles(PIXELS, numbered, 300, tile=32, overlap=8)
    centres = [(s[0] + s[1] - 1) / 2 for s in tile_spans(83, 32, 8)]
    distances = np.abs(np.arange(83)[:, None] - centres)
    assert (distances[np.arange(83), tiled.label_map[0]] == distances.min(1)).all()
    assert set(seen) == {(32, 32, 3)}
    assert tiled.label_map.dtype == np.int16


def test_pixels_without_a_category_count_for_none():
    tiled = segment_tiles(PIXELS, lambda rgb: (np.full(rgb.shape[:2], -1), rgb[..., 0] / 255), 2)
    assert tiled.label_map.max() == -1
    assert not tiled.pixels.any()
    assert not tiled.scores.any()


@pytest.mark.parametrize(
    ("predict", "options", "message"),
    [
        (by_value, {"tile": 8, "overlap": 8}, "tile=8 and overlap=8"),
        (lambda rgb: by_value(rgb[1:]), {}, r"of shape \(57, 83\) for a tile, found \(56, 83\)"),
        (
            lambda rgb: (rgb[..., 0] // 10, rgb[..., 0]),
            {},
            r"labels in -1..3 for a tile, found 0..25",
        ),
    ],
)
def test_wrong_arguments_are_refused(predict, options, message):
    with pytest.raises(ValueError, match=message):
        segment_tiles(PIXELS, predict, 4, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_are_upright(tmp_path, orientation):
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    lazy, whole_HW3 = LazyImage(tmp_path / "a.png"), read_image(tmp_path / "a.png")
    assert lazy.size == whole_HW3.shape[:2]
    assert (lazy.crop(3, 41, 10, 57) == whole_HW3[3:41, 10:57]).all()
    assert lazy.reduced(10).shape[:2] == tuple(-(-n // 10) for n in lazy.size)


RAMP = np.arange(4000, dtype=np.uint16).reshape(50, 80)


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS[..., 0],
        PIXELS.astype(np.float32) / 300,
        PIXELS.astype(np.uint16) * 16,
        np.dstack([PIXELS, PIXELS[..., :1]]),
        np.dstack([PIXELS, PIXELS[..., :1]]).astype(np.uint16) * 250,
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        Image.fromarray(PIXELS).convert("P"),
        Image.fromarray(PIXELS).convert("LA"),
        Image.fromarray(RAMP),
        Image.fromarray(RAMP.astype(np.float32) / 16),
    ],
    ids=[
        "RGB",
        "grey",
        "floats",
        "16 bits",
        "RGBA",
        "RGBA of 16 bits",
        "tensor",
        "palette",
        "grey and alpha",
        "I;16",
        "F",
    ],
)
def test_regions_have_the_values_of_the_whole_image(image):
    """White is found on the whole image, so a dark region stays dark."""
    lazy, whole_HW3 = LazyImage(image), to_rgb(image)
    assert (lazy.crop(0, 9, 0, 30) == whole_HW3[:9, :30]).all()
    assert (lazy.crop(20, 50, 7, 66) == whole_HW3[20:50, 7:66]).all()


def test_previews_are_small_and_match():
    tiled = segment_tiles(PIXELS, by_value, 4)
    rgb_HW3, labels_HW = tiled.preview(max_side=30)
    assert rgb_HW3.shape == (19, 28, 3)
    assert labels_HW.shape == (19, 28)
    assert np.abs(rgb_HW3[4, 5].astype(int) - PIXELS[12:15, 15:18].mean((0, 1))).max() <= 1
    assert labels_HW[4, 5] == tiled.label_map[13, 16]
    same_HW3, same_HW = tiled.preview()
    assert (same_HW3 == PIXELS).all()
    assert (same_HW == tiled.label_map).all()


def test_arrays_in_files_are_read_a_tile_at_a_time(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    tiled = segment_tiles(mapped, by_value, 4, tile=20, overlap=4)
    assert (tiled.label_map == by_value(PIXELS)[0]).all()
    assert np.shares_memory(tiled.image._pixels, mapped)
