"""Comparison of class names: which categories of a vocabulary were seen in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovss.structures import split_synonyms

__all__ = ["category_key", "seen_mask"]


def category_key(name: str) -> frozenset[str]:
    """Set of normalised synonyms; two names are the same category if their sets intersect.

    Case and extra spaces are ignored.

    >>> category_key("Sofa,  couch") & category_key("COUCH")
    frozenset({'couch'})
    """
    return frozenset(" ".join(part.split()).casefold() for part in split_synonyms(name))


def seen_mask(names: Sequence[str], seen: Sequence[str]) -> NDArray[np.bool_]:
    """Marks those of T names that share a synonym with a seen name, bool (T,)."""
    known = frozenset().union(*map(category_key, seen))
    return np.array([bool(category_key(name) & known) for name in names], dtype=bool)
