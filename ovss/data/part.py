"""Evenly spread part of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def spread(count: int, limit: int) -> list[int]:
    """Positions of `limit` of `count` items, spread evenly from the first to the last.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    >>> spread(3, 8)
    [0, 1, 2]
    """
    if limit >= count:
        return list(range(count))
    return np.linspace(0, count - 1, limit).astype(int).tolist()


def limited(items: Sequence[T], limit: int | None) -> tuple[list[T], str]:
    """Chooses a part of the images of a dataset.

    Args:
        items: all images, in their order.
        limit: largest number of images; None: all.

    Returns:
        The chosen items, and a description of the part, which is empty if it is everything.

    Raises:
        ValueError: `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {limit}. Leave it out to use all images")
    if limit is None or limit >= len(items):
        return list(items), ""
    chosen = [items[i] for i in spread(len(items), limit)]
    return chosen, f"{limit:,} of {len(items):,} images, spread evenly over their sorted paths"
