"""Comparison of class names: which categories of a vocabulary were seen in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovss.structures import Vocabulary, split_synonyms

__all__ = ["category_key", "seen_mask", "seen_queries"]


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


def seen_queries(vocabulary: Vocabulary, seen: Sequence[str]) -> NDArray[np.bool_]:
    """Marks the names of a vocabulary whose category is seen, bool (T,).

    A category whose synonyms are queries of their own is seen if any of them is.

    Args:
        vocabulary: vocabulary that was encoded.
        seen: names of the seen categories.
    """
    seen_T = seen_mask(vocabulary.names, seen)
    if vocabulary.owners is None:
        return seen_T
    owner_T = np.array(vocabulary.owners)
    return (np.bincount(owner_T, weights=seen_T) > 0)[owner_T]
