"""Places of labels next to points, so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["Box", "overlap", "place_labels", "spread_positions"]

Box = tuple[float, float, float, float]
"""Left, bottom, right and top of a rectangle."""

_RADII = (9.0, 13.0, 20.0, 30.0, 42.0, 56.0, 72.0)
_DIRECTIONS = 16
_POINT = 4.5
"""Half of the side of the square that a point covers."""


def overlap(first: Box, second: Box) -> float:
    """Area that two rectangles share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    line: Sequence[tuple[float, float]] = (),
) -> list[Box]:
    """Rectangles of labels, one for each point, chosen one after the other.

    Each label takes the place with the least overlap, and of these the nearest.

    Args:
        points: places of the points.
        sizes: width and height of each label.
        bounds: rectangle in which labels have to lie.
        line: corners of a line that labels should not cover.
    """
    dots = [_square(point, _POINT) for point in points]
    beads = [_square(bead, 1.0) for bead in _beads(line)]
    placed: dict[int, Box] = {}
    # crowded points first, while there is room
    order = sorted(range(len(points)), key=lambda i: (-_neighbours(points, i), points[i], i))
    for index in order:
        others = [box for i, box in enumerate(dots) if i != index] + beads
        placed[index] = min(
            _candidates(points[index], sizes[index]),
            key=lambda each: _cost(each[1], each[0], [*placed.values()], others, bounds),
        )[1]
    return [placed[index] for index in range(len(points))]


def _square(middle: tuple[float, float], half: float) -> Box:
    x, y = middle
    return x - half, y - half, x + half, y + half


def _beads(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points on a line, a few pixels apart."""
    beads = []
    for (a, b), (c, d) in pairwise(line):
        count = max(1, int(math.hypot(c - a, d - b) / 4))
        beads += [(a + (c - a) * i / count, b + (d - b) * i / count) for i in range(count)]
    return beads


def _neighbours(points: Sequence[tuple[float, float]], index: int) -> int:
    x, y = points[index]
    return sum(math.hypot(x - a, y - b) < 60 for a, b in points)


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[tuple[float, Box]]:
    """Distance and rectangle of each possible place."""
    (x, y), (width, height) = point, size
    found = []
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            dx, dy = math.cos(angle), math.sin(angle)
            # the side that faces the point touches the circle around it
            left = x + radius * dx - width * (1 - dx) / 2
            bottom = y + radius * dy - height * (1 - dy) / 2
            # right of the point is where readers expect a label
            found.append((radius + 2 * (1 - dx), (left, bottom, left + width, bottom + height)))
    return found


def _cost(
    box: Box, distance: float, labels: Sequence[Box], dots: Sequence[Box], bounds: Box
) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    outside = area - overlap(box, bounds)
    on_labels = sum(overlap(box, other) for other in labels)
    on_dots = sum(overlap(box, other) for other in dots)
    return 1000 * (outside + on_labels) + 100 * on_dots + distance


def spread_positions(
    wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Positions near the wanted ones, in the same order and at least `gap` apart.

    Args:
        wanted: wanted positions.
        gap: least distance between two positions.
        low: least position.
        high: largest position; it gives way if there is not enough room.

    >>> spread_positions([5.0, 5.0, 9.0], 2.0)
    [4.0, 6.0, 9.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    groups: list[list[int]] = []
    starts: list[float] = []
    for index in order:
        groups.append([index])
        starts.append(max(low, min(wanted[index], high)))
        # groups that touch become one, around the middle of what its members want
        while len(groups) > 1 and starts[-2] + gap * len(groups[-2]) > starts[-1]:
            groups[-2:] = [groups[-2] + groups[-1]]
            members = groups[-1]
            middle = sum(wanted[i] for i in members) / len(members)
            length = gap * (len(members) - 1)
            start = max(low, min(middle - length / 2, high - length))
            starts[-2:] = [start]
    positions = [0.0] * len(wanted)
    for members, start in zip(groups, starts):
        for place, index in enumerate(members):
            positions[index] = start + place * gap
    return positions
