"""Outlines, surfaces and colours of the mini world's objects.

Coordinates are in units of the object's radius, with x to the right and y upwards. Every outline
fits in the unit circle, up to the corners of the square and the cross. Distances are signed and
negative inside. They are exact to first order at the outline, which is enough for antialiasing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_DEGREES_36 = np.float32(np.pi / 5)

#: Base colours in linear [0, 1] RGB, before lighting.
RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.07, 0.08),
    "orange": (0.98, 0.50, 0.04),
    "yellow": (0.97, 0.92, 0.12),
    "green": (0.12, 0.68, 0.16),
    "cyan": (0.10, 0.85, 0.88),
    "blue": (0.12, 0.24, 0.90),
    "purple": (0.53, 0.13, 0.74),
    "pink": (1.00, 0.56, 0.76),
    "white": (0.96, 0.96, 0.96),
    "black": (0.06, 0.06, 0.07),
}


def _circle(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - np.float32(0.9)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.78)


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(-y, np.float32(0.866) * np.abs(x) + np.float32(0.5) * y) - np.float32(0.5)


def _star(x: Array, y: Array) -> Array:
    """Star with five points.

    Folding the plane by symmetry leaves half of one point, whose edge is a straight line.
    """
    radius = np.hypot(x, y)
    angle = np.abs((np.arctan2(x, y) + _DEGREES_36) % (2 * _DEGREES_36) - _DEGREES_36)
    inner = np.float32(0.42)
    edge = np.array((inner * np.cos(_DEGREES_36) - 1, inner * np.sin(_DEGREES_36)), np.float32)
    edge /= np.hypot(*edge)
    return (radius * np.cos(angle) - 1) * edge[1] - radius * np.sin(angle) * edge[0]


def _cross(x: Array, y: Array) -> Array:
    ax, ay = np.abs(x), np.abs(y)
    arm, length = np.float32(0.3), np.float32(0.93)
    return np.minimum(
        np.maximum(ax - arm, ay - length), np.maximum(ay - arm, ax - length), dtype=np.float32
    )


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - np.float32(0.68)) - np.float32(0.26)


def _heart(x: Array, y: Array) -> Array:
    """Heart: a square on its tip with a half circle on each of its two upper sides."""
    side = np.float32(0.79)
    ax, up = np.abs(x), y + np.float32(0.16)
    diamond = (ax + np.abs(up) - side) * np.float32(0.7071)
    lobe = np.hypot(ax - side / 2, up - side / 2) - side * np.float32(0.7071)
    return np.minimum(diamond, lobe)


def _moon(x: Array, y: Array) -> Array:
    bite = np.float32(0.72) - np.hypot(x - np.float32(0.42), y)
    return np.maximum(np.hypot(x, y) - np.float32(0.95), bite)


def _arrow(x: Array, y: Array) -> Array:
    """Arrow that points up: a broad head on a shaft."""
    ax = np.abs(x)
    slope = np.float32(0.76), np.float32(0.9)
    head = (ax * slope[1] + (y - 1) * slope[0]) / np.hypot(*slope)
    head = np.maximum(head, np.float32(0.1) - y)
    shaft = np.maximum(ax - np.float32(0.25), np.maximum(-y - np.float32(0.95), y - 1))
    return np.minimum(head, np.maximum(shaft, y - np.float32(0.2)))


OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "moon": _moon,
    "arrow": _arrow,
}


def second_tone(colour: str, strength: float) -> Array:
    """Second tone of a surface: a darker tone of the colour, or a lighter one if it is black.

    Args:
        colour: name of the colour.
        strength: difference from the colour; 0 gives the colour itself, 1 gives black (for black,
            nearly white).
    """
    base = np.asarray(RGB[colour], np.float32)
    target = 1.0 if colour == "black" else 0.0
    weight = strength * (0.8 if colour == "black" else 1.0)
    return base + np.float32(weight) * (target - base)


def surface_mix(
    surface: str, u: Array, v: Array, edge: Array, draw: NDArray[np.floating]
) -> Array | None:
    """Share of the second tone in each pixel, or None if the surface has one tone only.

    Args:
        surface: name of the surface.
        u, v: coordinates in the rotated frame of the object, in pixels.
        edge: signed distance to the outline in pixels.
        draw: three random numbers in [0, 1) for the period and two phases.
    """
    two_pi = np.float32(2 * np.pi)
    period, phase_u, phase_v = np.float32(draw[0]), two_pi * draw[1], two_pi * draw[2]
    if surface == "striped":
        return np.clip(0.5 + 1.6 * np.sin(u * (two_pi / (6 + 3 * period)) + phase_u), 0, 1)
    if surface == "dotted":
        scale = two_pi / (6.5 + 2.5 * period)
        return np.clip(np.cos(u * scale + phase_u) + np.cos(v * scale + phase_v) - 0.3, 0, 1)
    if surface == "checkered":
        scale = two_pi / (9 + 4 * period)
        return np.clip(0.5 + 3 * np.sin(u * scale + phase_u) * np.sin(v * scale + phase_v), 0, 1)
    if surface == "bordered":
        return np.clip(edge + (2.8 + 1.4 * period), 0, 1)
    if surface == "halved":
        return np.clip(u + (6 * period - 3), 0, 1)
    return None
