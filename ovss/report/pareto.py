"""Points that no other point beats in cost and in accuracy at once."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["pareto_line"]


def pareto_line(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points on the Pareto line, the cheapest first.

    A point is on the line unless another one costs at most as much, is at least as accurate, and
    is better in one of both. Of equal points, the first is on the line.

    Args:
        points: (cost, accuracy) of each method.

    >>> pareto_line([(1.0, 50.0), (2.0, 40.0), (3.0, 60.0)])
    [0, 2]
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    line: list[int] = []
    for index in order:
        if not line or points[index][1] > points[line[-1]][1]:
            line.append(index)
    return line
