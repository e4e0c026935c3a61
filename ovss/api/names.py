"""Names of categories: how they are found and how they are written."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import SupportsIndex

from ovss.vocabularies.vocabulary import split_synonyms

__all__ = ["find_category", "short_names", "unique_names"]


def short_names(categories: Sequence[str]) -> tuple[str, ...]:
    """Names for legends: the first synonym, or the full name where categories share the first one.

    >>> short_names(["sofa, couch", "bass, fish", "bass, guitar"])
    ('sofa', 'bass, fish', 'bass, guitar')
    """
    firsts = [(split_synonyms(name) or (name,))[0] for name in categories]
    counts = Counter(firsts)
    return tuple(first if counts[first] == 1 else name for first, name in zip(firsts, categories))


def unique_names(categories: Sequence[str]) -> tuple[str, ...]:
    """Names in one line each, numbered where categories share a name, for files that need that.

    >>> unique_names(["cat", "door", "door"])
    ('cat', 'door (1)', 'door (2)')
    """
    lines = [" ".join(name.split()) for name in categories]
    counts, used = Counter(lines), set(lines)
    names = []
    for index, name in enumerate(lines):
        if counts[name] > 1:
            name = f"{name} ({index})"
            while name in used:
                name += "'"
        used.add(name)
        names.append(name)
    return tuple(names)


def find_category(category: str | SupportsIndex, categories: Sequence[str]) -> int:
    """Index of a category that is named by index, full name, synonym or name in the legend.

    An exact name goes before one in another case, and a full name before a synonym. Synonyms may
    be separated by commas or bars.

    Args:
        category: name or index.
        categories: names of the T categories.

    Raises:
        IndexError: the index lies outside 0..T-1.
        KeyError: no category has the name, or several have it.
        TypeError: neither a name nor an index.
    """
    if not isinstance(category, str):
        return _checked_index(category, len(categories))
    labels = short_names(categories)
    readings: list[Callable[[int], set[str]]] = [
        lambda i: {_key(categories[i]), _key(labels[i])},
        lambda i: {_key(part) for part in split_synonyms(categories[i])},
    ]
    for reading in readings:
        for fold in (str, str.casefold):
            wanted = fold(_key(category))
            found = [i for i in range(len(categories)) if wanted in set(map(fold, reading(i)))]
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(f"{i} ({categories[i]!r})" for i in found[:10])
                raise KeyError(
                    f"{category!r} names {len(found)} categories: {listed}. Use the index or the "
                    "full name"
                )
    raise KeyError(_unknown_name(category, categories))


def _checked_index(index: SupportsIndex, count: int) -> int:
    if isinstance(index, bool):
        raise TypeError("a category is a name or an index, got a bool")
    try:
        number = operator.index(index)
    except TypeError:
        raise TypeError(f"a category is a name or an index, got {type(index).__name__}") from None
    if not 0 <= number < count:
        raise IndexError(f"the indices of the categories are 0..{count - 1}, got {number}")
    return number


def _key(name: str) -> str:
    """Name with one spelling of separators, spaces and accents."""
    parts = [" ".join(part.split()) for part in re.split(r"[,|]", name)]
    return unicodedata.normalize("NFC", ", ".join(part for part in parts if part))


def _unknown_name(name: str, categories: Sequence[str]) -> str:
    known = dict.fromkeys(_key(part) for full in categories for part in split_synonyms(full))
    folded = {part.casefold(): part for part in known}
    close = [folded[k] for k in get_close_matches(_key(name).casefold(), folded, n=3)]
    listed = close or list(known)[:10]
    more = ", ..." if not close and len(known) > 10 else ""
    start = "did you mean" if close else "the categories are"
    end = "?" if close else ""
    return f"no category is called {name!r}; {start} {', '.join(map(repr, listed))}{more}{end}"
