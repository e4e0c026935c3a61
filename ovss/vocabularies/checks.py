"""What is wrong with a list of names: said with places, before anything is encoded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from ovss.structures import split_synonyms

__all__ = ["check_names", "find_duplicates"]

SHOWN = 5


def find_duplicates(names: Sequence[str], synonyms: str = "first") -> dict[str, tuple[int, ...]]:
    """Categories that no model could tell apart: the same words, whatever their case and blanks.

    Args:
        names: T names; ``"sofa, couch"`` is one category with two synonyms.
        synonyms: under ``"first"`` the first synonym counts; under ``"average"`` two categories
            are the same if they have the same synonyms in any order.

    Returns:
        The repeated word (or words) and the indices of its categories.

    >>> find_duplicates(["Sofa, couch", "cat", "sofa "])
    {'sofa': (0, 2)}
    >>> find_duplicates(["Sofa, couch", "cat", "sofa "], synonyms="average")
    {}
    """
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        words = [" ".join(word.split()).casefold() for word in split_synonyms(name)]
        word = words[0] if synonyms == "first" and words else ", ".join(sorted(set(words)))
        places.setdefault(word, []).append(index)
    return {word: tuple(found) for word, found in places.items() if len(found) > 1}


def check_names(
    names: Iterable[str],
    where: str,
    places: Sequence[str] | None = None,
    synonyms: str = "first",
    duplicates: str = "error",
) -> tuple[str, ...]:
    """Strip names and refuse what cannot be a vocabulary.

    Args:
        names: the candidates.
        where: what they come from, for messages.
        places: where each one stands, for messages; by default its index.
        synonyms: the rule under which duplicates are looked for.
        duplicates: ``"error"``, or ``"warn"`` to go on after a warning.

    Raises:
        TypeError: a name that is no string.
        ValueError: no names, a blank one, or two that are the same.
    """
    if duplicates not in ("error", "warn"):
        raise ValueError(f"duplicates must be 'error' or 'warn', got {duplicates!r}")
    given = list(names)
    places = places or [f"name {index}" for index in range(len(given))]
    for name, place in zip(given, places, strict=True):
        if not isinstance(name, str):
            raise TypeError(f"{where}, {place}: a name must be a string, got {name!r}")
        if not split_synonyms(name):
            raise ValueError(f"{where}, {place}: the name is blank ({name!r}). Name it or drop it")
    if not given:
        raise ValueError(f"{where} has no names: a vocabulary needs at least one category")
    cleaned = tuple(" ".join(name.split()) for name in given)
    repeated = find_duplicates(cleaned, synonyms)
    if repeated:
        shown = "; ".join(
            f"{word!r} ({', '.join(places[index] for index in indices)})"
            for word, indices in list(repeated.items())[:SHOWN]
        )
        more = f" and {len(repeated) - SHOWN} more" if len(repeated) > SHOWN else ""
        message = (
            f"{where} names categories twice: {shown}{more}. Their scores would tie, so only the "
            f"first could ever win. Drop one or tell them apart"
        )
        if duplicates == "error":
            raise ValueError(message)
        warnings.warn(message, stacklevel=3)
    return cleaned
