"""Textures of the mini world's stuff, each a function of a random generator, height and width.

They return float32 images (H, W, 3) in [0, 1] and take a fraction of a millisecond at 64 pixels.
The size of their features is fixed in pixels and does not depend on the image size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .shapes import Array


@lru_cache(maxsize=256)
def _stretch(length: int, knots: int) -> Array:
    """Matrix (length, knots) that interpolates linearly between evenly spaced knots."""
    position = np.linspace(0, knots - 1, length, dtype=np.float32)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(knots, dtype=np.float32)))


def _smooth(rng: Generator, height: int, width: int, cell_y: float, cell_x: float) -> Array:
    """Value noise (H, W) in [0, 1] with features about as large as a cell.

    The two products with `_stretch` matrices are one bilinear upsampling of the random knots.
    """
    rows, columns = max(2, round(height / cell_y) + 1), max(2, round(width / cell_x) + 1)
    knots = rng.random((rows, columns), np.float32)
    return _stretch(height, rows) @ knots @ _stretch(width, columns).T


def _grain(rng: Generator, height: int, width: int) -> Array:
    return rng.random((height, width), np.float32) - np.float32(0.5)


def _axes(height: int, width: int) -> tuple[Array, Array]:
    return (
        np.arange(height, dtype=np.float32)[:, None],
        np.arange(width, dtype=np.float32)[None, :],
    )


def _ramp(level: NDArray[np.floating], low: tuple[float, ...], high: tuple[float, ...]) -> Array:
    """Blends two colours: level 0 gives the low colour and level 1 the high one."""
    first = np.asarray(low, np.float32)
    return first + level[..., None] * (np.asarray(high, np.float32) - first)


def _grass(rng: Generator, h: int, w: int) -> Array:
    level = 0.7 * _smooth(rng, h, w, 7, 1.5) + 0.3 * _smooth(rng, h, w, 16, 16)
    return _ramp(level, (0.07, 0.26, 0.04), (0.46, 0.72, 0.22))


def _brick_wall(rng: Generator, h: int, w: int) -> Array:
    y, x = _axes(h, w)
    tall, long = 6 + 2 * rng.random(), 13 + 4 * rng.random()
    row = np.floor((y + tall * rng.random()) / tall)
    along = x + long * (0.5 * (row % 2) + rng.random())
    joint = ((y + tall - row * tall) % tall < 1.4) | (along % long < 1.4)
    tint = rng.random(64, np.float32)[((row * 7 + np.floor(along / long) * 3) % 64).astype(np.intp)]
    bricks = _ramp(
        0.65 * tint + 0.35 * _smooth(rng, h, w, 3, 3), (0.44, 0.18, 0.12), (0.72, 0.36, 0.26)
    )
    return np.where(joint[..., None], np.float32(0.74), bricks)


def _sand(rng: Generator, h: int, w: int) -> Array:
    y, _ = _axes(h, w)
    ripple = np.sin(y * (0.55 + 0.2 * rng.random()) + 5 * _smooth(rng, h, w, 24, 24))
    return _ramp(
        0.5 + 0.2 * ripple + 0.5 * _grain(rng, h, w), (0.72, 0.59, 0.38), (0.93, 0.83, 0.62)
    )


def _water(rng: Generator, h: int, w: int) -> Array:
    level = 0.75 * _smooth(rng, h, w, 3, 12) + 0.25 * _smooth(rng, h, w, 10, 26)
    return _ramp(level * level * 1.4, (0.02, 0.20, 0.42), (0.45, 0.76, 0.88))


def _night_sky(rng: Generator, h: int, w: int) -> Array:
    sky = _ramp(_smooth(rng, h, w, 28, 28), (0.02, 0.02, 0.09), (0.10, 0.08, 0.26))
    stars = rng.random((h, w), np.float32)
    return sky + np.maximum(0, stars - 0.975)[..., None] * 38


def _snow(rng: Generator, h: int, w: int) -> Array:
    level = _smooth(rng, h, w, 9, 15) + 0.12 * _grain(rng, h, w)
    return _ramp(level, (0.70, 0.78, 0.90), (0.98, 0.99, 1.0))


def _wooden_floor(rng: Generator, h: int, w: int) -> Array:
    y, _ = _axes(h, w)
    plank = 9 + 3 * rng.random()
    shifted = y + plank * rng.random()
    tint = rng.random(64, np.float32)[np.floor(shifted / plank).astype(np.intp) % 64]
    level = 0.5 * tint + 0.5 * _smooth(rng, h, w, 1.3, 22)
    wood = _ramp(level, (0.38, 0.22, 0.10), (0.72, 0.49, 0.28))
    return wood * np.where(shifted % plank < 1.3, np.float32(0.35), np.float32(1))[..., None]


def _gravel(rng: Generator, h: int, w: int) -> Array:
    level = _smooth(rng, h, w, 3.2, 3.2)
    stones = np.clip((level - 0.3) * 2.6, 0, 1)
    return _ramp(stones, (0.20, 0.19, 0.18), (0.80, 0.77, 0.73))


def _cloudy_sky(rng: Generator, h: int, w: int) -> Array:
    level = 0.7 * _smooth(rng, h, w, 14, 22) + 0.3 * _smooth(rng, h, w, 6, 9)
    return _ramp(np.clip((level - 0.32) * 2.6, 0, 1), (0.40, 0.62, 0.92), (0.95, 0.96, 0.98))


def _lava(rng: Generator, h: int, w: int) -> Array:
    ridge = np.abs(0.65 * _smooth(rng, h, w, 10, 10) + 0.35 * _smooth(rng, h, w, 5, 5) - 0.5)
    return _ramp(np.clip(1 - 9 * ridge, 0, 1), (0.16, 0.06, 0.05), (1.0, 0.62, 0.12))


def _tiled_floor(rng: Generator, h: int, w: int) -> Array:
    y, x = _axes(h, w)
    tile, shift = 11 + 4 * rng.random(), rng.random(2)
    joint = ((y + tile * shift[0]) % tile < 1.5) | ((x + tile * shift[1]) % tile < 1.5)
    tiles = _ramp(_smooth(rng, h, w, 12, 12), (0.74, 0.80, 0.76), (0.88, 0.91, 0.87))
    return np.where(joint[..., None], np.float32(0.38), tiles)


def _curtain(rng: Generator, h: int, w: int) -> Array:
    _, x = _axes(h, w)
    fold = np.sin(x * (0.45 + 0.15 * rng.random()) + 4 * _smooth(rng, h, w, 40, 14))
    return _ramp(0.5 + 0.5 * fold, (0.24, 0.03, 0.12), (0.62, 0.14, 0.30))


def _corrugated_metal(rng: Generator, h: int, w: int) -> Array:
    _, x = _axes(h, w)
    wave = np.sin(x * (2 * np.pi / (6 + 2.5 * rng.random())) + 6 * rng.random())
    level = 0.5 + 0.42 * wave + 0.3 * (_smooth(rng, h, w, 16, 16) - 0.5)
    return _ramp(level, (0.34, 0.40, 0.44), (0.78, 0.83, 0.86))


def _autumn_leaves(rng: Generator, h: int, w: int) -> Array:
    hue, light = _smooth(rng, h, w, 3.5, 3.5), _smooth(rng, h, w, 2.5, 2.5)
    leaf = _ramp(np.clip(2.2 * hue - 0.6, 0, 1), (0.55, 0.20, 0.06), (0.86, 0.62, 0.16))
    return leaf * (0.35 + 0.75 * light)[..., None]


def _ivy(rng: Generator, h: int, w: int) -> Array:
    level = np.clip(2.4 * _smooth(rng, h, w, 5, 5) - 0.7, 0, 1)
    return _ramp(level, (0.02, 0.09, 0.06), (0.16, 0.42, 0.25))


def _asphalt(rng: Generator, h: int, w: int) -> Array:
    level = 0.5 + 0.9 * _grain(rng, h, w) + 0.3 * (_smooth(rng, h, w, 20, 20) - 0.5)
    return _ramp(level, (0.20, 0.20, 0.22), (0.42, 0.42, 0.43))


TEXTURES: dict[str, Callable[[Generator, int, int], Array]] = {
    "grass": _grass,
    "brick wall": _brick_wall,
    "sand": _sand,
    "water": _water,
    "night sky": _night_sky,
    "snow": _snow,
    "wooden floor": _wooden_floor,
    "gravel": _gravel,
    "cloudy sky": _cloudy_sky,
    "lava": _lava,
    "tiled floor": _tiled_floor,
    "curtain": _curtain,
    "corrugated metal": _corrugated_metal,
    "autumn leaves": _autumn_leaves,
    "ivy": _ivy,
    "asphalt": _asphalt,
}


def texture(name: str, rng: Generator, height: int, width: int, contrast: float) -> Array:
    """Renders one stuff category, (H, W, 3); contrast below 1 moves it towards its mean colour."""
    image = TEXTURES[name](rng, height, width).astype(np.float32, copy=False)
    if contrast >= 1:
        return image
    mean = image.mean((0, 1), keepdims=True)
    return mean + np.float32(contrast) * (image - mean)
