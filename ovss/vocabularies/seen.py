"""Comparison of class names: which categories of a vocabulary were seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .vocabulary import Vocabulary, split_synonyms

__all__ = ["MATCHES", "SeenNames", "category_key", "seen_mask"]

MATCHES = {
    "synonym": "any synonym of both names",
    "exact": "the whole names in lower case",
}
"""Rules that compare the name of a category with those of the training."""


@dataclass(frozen=True)
class SeenNames:
    """Categories that a component saw in training, found in any vocabulary by their names.

    A component whose results depend on them holds this record as its attribute ``seen``, and asks
    `TextFeatures.seen_T` for the marks of a vocabulary.

    Args:
        names: names of the categories; none if nothing was seen.
        match: rule of comparison, a key of `MATCHES`.

    >>> from .vocabulary import Vocabulary
    >>> SeenNames(("sofa, couch",)).marks(Vocabulary(("Couch", "cat"))).tolist()
    [True, False]
    >>> SeenNames(("sofa, couch",), "exact").marks(Vocabulary(("Couch", "cat"))).tolist()
    [False, False]
    """

    names: tuple[str, ...] = ()
    match: str = "synonym"

    def marks(self, vocabulary: Vocabulary) -> NDArray[np.bool_]:
        """True for the names of a vocabulary whose category is seen, bool (T,).

        A category whose synonyms are queries of their own is seen if any of them is.
        """
        if self.match == "exact":
            known = {name.strip().lower() for name in self.names}
            seen_T = np.array([name.strip().lower() in known for name in vocabulary.names])
        else:
            seen_T = seen_mask(vocabulary.names, self.names)
        if vocabulary.owners is None:
            return seen_T
        owner_T = np.array(vocabulary.owners)
        return (np.bincount(owner_T, weights=seen_T) > 0)[owner_T]


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
