"""Outlines of masks: polygons along the edges of pixels, with holes. Uses OpenCV."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Polygon", "mask_polygons", "ring_area"]


class Polygon(NamedTuple):
    """Outline of one connected region.

    Args:
        outer: (N, 2) points (x, y) in pixels, of positive `ring_area`. (0, 0) is the upper left
            corner of the first pixel, (width, height) the lower right corner of the last one.
        holes: (N, 2) points of each hole, of negative `ring_area`.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    @property
    def area(self) -> float:
        """Area in pixels, without the holes."""
        return ring_area(self.outer) + sum(map(ring_area, self.holes))

    def single_ring(self) -> np.ndarray:
        """Outline without holes, (N, 2), for formats that know one ring only.

        Each hole is joined to the ring by a cut of no width, so that the area stays the same.
        """
        ring = self.outer
        for hole in self.holes:
            i = int(((ring - hole[0]) ** 2).sum(1).argmin())
            ring = np.concatenate([ring[: i + 1], hole, hole[:1], ring[i:]])
        return ring


def ring_area(points_N2: np.ndarray) -> float:
    """Area of a ring in pixels; its sign tells the direction."""
    x, y = points_N2.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def mask_polygons(mask_HW: np.ndarray, tolerance: float = 0.0) -> list[Polygon]:
    """Outlines the connected regions of a mask, the largest first.

    Pixels that touch at a corner belong to one region.

    Args:
        mask_HW: boolean mask.
        tolerance: distance in pixels by which an outline may be simplified. At 0 it follows the
            edges of the pixels, and the areas are the numbers of pixels.
    """
    import cv2

    rows, columns = mask_HW.any(1).nonzero()[0], mask_HW.any(0).nonzero()[0]
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    part_hw = mask_HW[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    # OpenCV's contours run through the middle of pixels. With every pixel doubled, the points on
    # both sides of a pixel's edge round to that edge, so that the outlines become exact.
    doubled = part_hw.repeat(2, axis=0).repeat(2, axis=1)
    rings, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = [_ring((ring[:, 0] + 1) // 2, tolerance) + (left, top) for ring in rings]
    holes: dict[int, list[np.ndarray]] = {}
    for points_N2, (_, _, _, parent) in zip(outlines, tree[0]):
        if parent >= 0:
            holes.setdefault(int(parent), []).append(_directed(points_N2, -1))
    polygons = [
        Polygon(_directed(points_N2, 1), tuple(holes.get(i, ())))
        for i, (points_N2, (_, _, _, parent)) in enumerate(zip(outlines, tree[0]))
        if parent < 0
    ]
    return sorted(polygons, key=lambda polygon: -polygon.area)


def _ring(points_N2: np.ndarray, tolerance: float) -> np.ndarray:
    """Ring without repeated points and points on straight lines, simplified to a tolerance."""
    import cv2

    points_N2 = points_N2[(points_N2 != np.roll(points_N2, 1, axis=0)).any(1)]
    before, after = points_N2 - np.roll(points_N2, 1, 0), np.roll(points_N2, -1, 0) - points_N2
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(1) < 0
    points_N2 = points_N2[turns | back]
    if tolerance > 0:
        simple_N2 = cv2.approxPolyDP(points_N2.astype(np.float32)[:, None], tolerance, True)[:, 0]
        if len(simple_N2) >= 3 and abs(ring_area(simple_N2)) > 0:
            return simple_N2.astype(np.float64)
    return points_N2.astype(np.float64)


def _directed(points_N2: np.ndarray, sign: int) -> np.ndarray:
    return points_N2 if ring_area(points_N2) * sign > 0 else points_N2[::-1]
