"""Pieces of an image fit the memory and are as few as that allows."""

from __future__ import annotations

import math

import pytest

from ovss.api.pieces import NAMES_TIMES_PIXELS, ONE_PIECE, TILE, piece_size
from ovss.inference import InferenceConfig

FIXED = InferenceConfig(size=336, keep_ratio=True)
WHOLE = InferenceConfig()


@pytest.mark.parametrize("size", [(4000, 5000), (1000, 5000), (20_000, 500)])
def test_an_image_is_cut_if_its_probabilities_exceed_the_limit(size):
    pixels = math.prod(size)
    names = NAMES_TIMES_PIXELS // pixels
    assert pixels < ONE_PIECE
    assert piece_size(size, names, WHOLE) == size
    height, width = piece_size(size, names + 1, WHOLE)
    assert (height, width) != size
    assert height * width * (names + 1) <= NAMES_TIMES_PIXELS
    assert piece_size(size, names + 1, FIXED) == size


@pytest.mark.parametrize("short", [100, 255])
def test_the_pieces_of_a_strip_are_as_long_as_the_strip_is_narrow(short):
    long = TILE * TILE // short
    assert piece_size((short, 10**6), 5, FIXED) == (TILE, long)
    assert piece_size((10**6, short), 5, FIXED) == (long, TILE)
    assert piece_size((256, 10**6), 5, FIXED) == (TILE, TILE // 256 * TILE)
    assert piece_size((257, 10**6), 5, FIXED) == (TILE, TILE)
