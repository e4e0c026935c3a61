"""Which classes training showed: a number without its name-matching rule means nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ovss.data.labels import category_key
from ovss.structures import split_synonyms

SEEN_RULES = {
    "any_synonym": "one of its synonyms, ignoring case, is a synonym of",
    "first_synonym": "its first synonym, ignoring case, is the first synonym of",
    "exact": "its whole entry, synonyms and case included, is",
}
"""Rule -> the sentence that is printed with the figures."""


def seen_classes(
    names: Sequence[str], shown: Sequence[str], rule: str = "any_synonym"
) -> NDArray[np.bool_]:
    """Which of T names are among those that training showed; bool (T,).

    Args:
        names: T classes; ``"sofa, couch"`` is one with two synonyms.
        shown: the names of training.
        rule: one of `SEEN_RULES`.

    Raises:
        ValueError: no such rule.

    >>> names, shown = ["sofa, couch", "Cat"], ["couch", "cat"]
    >>> [seen_classes(names, shown, rule).tolist() for rule in SEEN_RULES]
    [[True, True], [False, True], [False, False]]
    """
    if rule not in SEEN_RULES:
        raise ValueError(f"no seen rule is called {rule!r}; known: {', '.join(SEEN_RULES)}")
    key = _KEYS[rule]
    known = frozenset().union(*map(key, shown))
    return np.array([bool(key(name) & known) for name in names], dtype=bool)


def seen_note(shown: Sequence[str], rule: str) -> str:
    """One line to print beside the figures."""
    return f"a class is seen if {SEEN_RULES[rule]} one of the {len(shown)} that training showed"


_KEYS: dict[str, Callable[[str], frozenset[str]]] = {
    "any_synonym": category_key,
    "first_synonym": lambda name: category_key(split_synonyms(name)[0]),
    "exact": lambda name: frozenset({name}),
}
