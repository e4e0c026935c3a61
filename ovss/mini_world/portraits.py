"""Images of a single category, similar to what a text-to-image model draws for its name."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from .backgrounds import texture
from .categories import STUFF, attributes_of
from .scenes import _paint, _photograph


def portrait(
    name: str, index: int = 0, size: int = 96, seed: int = 0, difficulty: float = 0.5
) -> NDArray[np.uint8]:
    """Renders one category, (H, W, 3): a large object in the middle of random stuff, or stuff only.

    Args:
        name: category of the mini world, seen or unseen.
        index: number of the image; each index gives a different one.
        size: height and width in pixels.
        seed: seed of the images.
        difficulty: strength of light, noise and tilt, as in `MiniWorld`.

    Raises:
        KeyError: the name is not a category of the mini world.
    """
    is_stuff = name in STUFF
    if not is_stuff:
        attributes_of(name)
    rng = Generator(PCG64(SeedSequence((zlib.crc32(name.encode()), seed, index))))
    ground = name if is_stuff else STUFF[int(rng.integers(len(STUFF)))]
    image = texture(ground, rng, size, size, 0.25 + 0.75 * difficulty)
    if not is_stuff:
        radius = size * (0.32 + 0.1 * rng.random())
        x, y = size * (0.5 + 0.08 * (rng.random(2) - 0.5))
        mask = np.zeros((size, size), np.int16)  # required by _paint, not returned
        _paint(rng, image, mask, 1, name, (float(x), float(y), float(radius)), difficulty)
    return _photograph(rng, image, difficulty)
