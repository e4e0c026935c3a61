"""Largest confusions of methods: shares of a category's true pixels that another one gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cells import Cell

__all__ = ["ConfusedPair", "confused_pairs", "confusion_shares"]

_LEAST = 0.002
"""Least share of all labelled pixels that a category has to have: of a few pixels, every share is
possible."""


@dataclass(frozen=True)
class ConfusedPair:
    """True category, the category that is found in its place, and the share by method.

    Args:
        true: index of the true category.
        found: index of the other one.
        shares: share in 0..1 of the true category's pixels, one for each cell.
    """

    true: int
    found: int
    shares: tuple[float, ...]


def confusion_shares(cell: Cell) -> dict[tuple[int, int], float]:
    """Share of the true pixels of a category that another one gets, by (true, found)."""
    values = cell.values
    pixels: dict[int, int] = {}
    for _, category, _, _, true in values["areas"]:
        pixels[category] = pixels.get(category, 0) + true
    least = _LEAST * sum(pixels.values())
    return {
        (true, found): count / pixels[true]
        for true, found, count in values["confused"]
        if pixels[true] >= least
    }


def confused_pairs(cells: Sequence[Cell], most: int = 15) -> list[ConfusedPair]:
    """Pairs with the largest mean share over the cells of one dataset.

    Args:
        cells: accuracy cells of methods on one dataset.
        most: largest number of pairs.
    """
    shares = [confusion_shares(cell) for cell in cells]
    pairs = dict.fromkeys(pair for each in shares for pair in each)
    rows = [ConfusedPair(*pair, tuple(each.get(pair, 0.0) for each in shares)) for pair in pairs]
    rows.sort(key=lambda row: (-sum(row.shares), row.true, row.found))
    return rows[:most]
