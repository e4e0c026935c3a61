"""Colours of categories: a fixed list of well separated ones, and tints that keep their hue."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["INK", "PAPER", "UNKNOWN_COLOR", "lab_of", "palette", "rgb_of", "tints"]

INK, PAPER = (28, 28, 30), (250, 250, 248)
UNKNOWN_COLOR = (128, 128, 128)
"""Colour of pixels without a category. Every colour of `palette` is far from it."""

GREEDY = 1024  # colours that are chosen one by one; later ones only need to differ
STEP, FINE_STEP = 15, 5  # spacing of the candidates in RGB
LIGHTNESS = (32.0, 86.0)  # limits in CIELAB: no black and no white
CHROMA = (28.0, 95.0)  # no grey, and no glaring blue or green
FIRST = (225, 60, 60)
GREY_STEP = 4  # grey values that share a tint
BISECTIONS = 6
DETAIL = 1.0  # share of the image's lightness that a tint of opacity 0 would keep
MIX = 0.4  # opacity from which a drawing holds none of the image's own colours
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab_of(rgb_N3: np.ndarray) -> np.ndarray:
    """Converts sRGB colours (..., 3) in 0..255 to CIELAB, white point D65.

    >>> lab_of(np.array([255, 255, 255])).round(1).tolist()[0]
    100.0
    """
    rgb = np.asarray(rgb_N3, np.float64) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ TO_XYZ.T / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), (903.3 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def rgb_of(lab_N3: np.ndarray) -> np.ndarray:
    """Converts CIELAB colours (..., 3) to sRGB floats; outside 0..255 if a screen has no such one.

    >>> rgb_of(lab_of(np.array([10, 200, 30]))).round().tolist()
    [10.0, 200.0, 30.0]
    """
    light, a, b = np.moveaxis(np.asarray(lab_N3, np.float64), -1, 0)
    y = (light + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], -1)
    xyz = np.where(f**3 > 0.008856, f**3, (116 * f - 16) / 903.3) * WHITE
    linear = xyz @ np.linalg.inv(TO_XYZ).T
    curved = 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved) * 255


def palette(count: int) -> np.ndarray:
    """Colours for `count` categories, (count, 3) RGB uint8.

    Colour i depends on i only. Each of the first colours is the candidate farthest in CIELAB from
    all earlier ones, from black, from white and from the grey of unknown pixels. Later colours
    are the remaining candidates in a fixed order, so that thousands of categories all differ.

    >>> len({tuple(color) for color in palette(3000).tolist()})
    3000
    """
    colors = _greedy(min(GREEDY, -(-max(count, 1) // 64) * 64))
    if count > GREEDY:
        colors = np.concatenate([colors, _rest()])
    if count > len(colors):  # more categories than colours: they repeat
        colors = np.tile(colors, (-(-count // len(colors)), 1))
    return colors[:count].copy()


def _candidates(step: int) -> np.ndarray:
    levels = np.arange(0, 256, step)
    rgb_N3 = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lab_N3 = lab_of(rgb_N3)
    light_N, chroma_N = lab_N3[:, 0], np.hypot(lab_N3[:, 1], lab_N3[:, 2])
    visible_N = (light_N > LIGHTNESS[0]) & (light_N < LIGHTNESS[1])
    return rgb_N3[visible_N & (chroma_N > CHROMA[0]) & (chroma_N < CHROMA[1])]


@lru_cache(maxsize=16)
def _greedy(count: int) -> np.ndarray:
    rgb_N3 = _candidates(STEP)
    lab_N3 = lab_of(rgb_N3)
    nearest_N = np.full(len(rgb_N3), np.inf)
    for color in (INK, PAPER, UNKNOWN_COLOR):
        nearest_N = np.minimum(nearest_N, np.linalg.norm(lab_N3 - lab_of(np.array(color)), axis=1))
    index = int(np.abs(rgb_N3 - np.array(FIRST)).sum(1).argmin())
    chosen = []
    for _ in range(count):
        chosen.append(index)
        distance_N = np.linalg.norm(lab_N3 - lab_N3[index], axis=1)
        nearest_N = np.minimum(nearest_N, distance_N)
        index = int(nearest_N.argmax())
    return rgb_N3[chosen].astype(np.uint8)


@lru_cache(maxsize=1)
def _rest() -> np.ndarray:
    """Candidates that the greedy choice leaves, (N, 3), neighbours of the list far apart."""
    rgb_N3 = _candidates(FINE_STEP)
    codes = np.array([1 << 16, 1 << 8, 1])
    free_N = ~np.isin(rgb_N3 @ codes, _greedy(GREEDY).astype(int) @ codes)
    rgb_N3 = rgb_N3[free_N]
    golden = (5**0.5 - 1) / 2
    return rgb_N3[np.argsort(np.arange(len(rgb_N3)) * golden % 1, kind="stable")].astype(np.uint8)


def tints(colors_N3: np.ndarray, opacity: float) -> np.ndarray:
    """Colours to paint pixels with, by category and grey value of the image, (N, 256, 3) uint8.

    A tint takes the hue from its category and its lightness partly from the image. The lightness
    moves only so far that, of all N colours, the one of the category stays the nearest in CIELAB.
    At opacity 1 a tint is the colour of its category.

    Args:
        colors_N3: RGB uint8 colours of N categories.
        opacity: weight of the colours.
    """
    lab_N3 = lab_of(colors_N3)
    grey_G3 = np.arange(1, 256, GREY_STEP)[:, None].repeat(3, 1)
    light_G = (1 - opacity) * DETAIL * (lab_of(grey_G3)[:, 0] - 50)
    reach_NG, low_NG, high_NG = np.ones((3, len(lab_N3), len(light_G)))
    low_NG *= 0
    for _ in range(BISECTIONS):
        tint_NG3 = _shaded(lab_N3, reach_NG * light_G)
        good_NG = _nearest(lab_of(tint_NG3), lab_N3) == np.arange(len(lab_N3))[:, None]
        low_NG = np.where(good_NG, reach_NG, low_NG)
        high_NG = np.where(good_NG, high_NG, reach_NG)
        reach_NG = np.where(low_NG == 1, 1, (low_NG + high_NG) / 2)
    return _shaded(lab_N3, low_NG * light_G).repeat(GREY_STEP, axis=1)


def _shaded(lab_N3: np.ndarray, light_NG: np.ndarray) -> np.ndarray:
    """Colours made lighter by amounts in CIELAB, (N, G, 3) uint8, as saturated as a screen can."""
    lab_NG3 = np.repeat(lab_N3[:, None], light_NG.shape[1], axis=1)
    lab_NG3[..., 0] = (lab_NG3[..., 0] + light_NG).clip(4, 97)
    share_NG, low_NG, high_NG = np.ones((3, *light_NG.shape))
    low_NG *= 0
    for _ in range(BISECTIONS):
        rgb_NG3 = rgb_of(lab_NG3 * np.stack([np.ones_like(share_NG), share_NG, share_NG], -1))
        fits_NG = ((rgb_NG3 > -0.5) & (rgb_NG3 < 255.5)).all(-1)
        low_NG, high_NG = np.where(fits_NG, share_NG, low_NG), np.where(fits_NG, high_NG, share_NG)
        share_NG = np.where(low_NG == 1, 1, (low_NG + high_NG) / 2)
    lab_NG3[..., 1:] *= low_NG[..., None]
    return rgb_of(lab_NG3).clip(0, 255).round().astype(np.uint8)


def _nearest(lab_NG3: np.ndarray, colors_M3: np.ndarray) -> np.ndarray:
    """Index of the nearest of M colours for each of (N, G) colours."""
    half_M = (colors_M3**2).sum(1) / 2  # |x - c|^2 / 2 without the part that all c share
    return np.stack([(half_M - lab_G3 @ colors_M3.T).argmin(1) for lab_G3 in lab_NG3])
