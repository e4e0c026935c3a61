"""Checks of a list of class names, which run before anything is encoded."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Sequence

from ovss.io.arguments import typed_arguments
from ovss.io.text import control_character

from .vocabulary import split_synonyms

__all__ = ["check_names", "find_duplicates"]

MAX_LISTED = 5  # duplicates that a message names


@typed_arguments
def find_duplicates(names: Sequence[str], synonyms: str = "first") -> dict[str, tuple[int, ...]]:
    """Finds categories with equal names, which no model can tell apart.

    Names are compared without regard to case, extra spaces and the Unicode form of accents.

    Args:
        names: T class names; ``"sofa, couch"`` is one category with two synonyms.
        synonyms: rule of comparison. ``"first"`` compares first synonyms only; the other rules
            compare the sets of synonyms, in any order.

    Returns:
        Each repeated name (or joined set of synonyms) with the indices of its categories.

    >>> find_duplicates(["Sofa, couch", "cat", "sofa "])
    {'sofa': (0, 2)}
    >>> find_duplicates(["Sofa, couch", "cat", "sofa "], synonyms="average")
    {}
    """
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        parts = [_folded(part) for part in split_synonyms(name)]
        key = parts[0] if synonyms == "first" and parts else ", ".join(sorted(set(parts)))
        indices.setdefault(key, []).append(index)
    return {key: tuple(same) for key, same in indices.items() if len(same) > 1}


def _folded(name: str) -> str:
    """Name with one spelling of case, spaces and accents."""
    text = unicodedata.normalize("NFC", " ".join(name.split()).casefold())
    return unicodedata.normalize("NFC", text.casefold())


def check_names(
    names: Iterable[str],
    where: str,
    places: Sequence[str] | None = None,
    synonyms: str = "first",
    duplicates: str = "error",
) -> tuple[str, ...]:
    """Strips the names and raises an error if they cannot form a vocabulary.

    Args:
        names: candidate names.
        where: source of the names, for messages.
        places: position of each name in the source, for messages; default: its index.
        synonyms: rule of comparison for duplicates, see `find_duplicates`.
        duplicates: ``"error"``, or ``"warn"`` to continue after a warning.

    Raises:
        TypeError: a name is not a string.
        ValueError: no names, a blank name, a control character, or duplicates.
    """
    if duplicates not in ("error", "warn"):
        raise ValueError(f"duplicates must be 'error' or 'warn', got {duplicates!r}")
    candidates = list(names)
    places = places or [f"name {index}" for index in range(len(candidates))]
    for name, place in zip(candidates, places, strict=True):
        if not isinstance(name, str):
            raise TypeError(f"{where}, {place}: a name must be a string, got {repr(name)[:60]}")
        hidden = control_character(" ".join(name.split()))  # line breaks count as spaces
        if hidden:
            raise ValueError(
                f"{where}, {place}: the name {name[:60]!r} contains the control character "
                f"{hidden}. Remove it"
            )
        if not split_synonyms(name):
            raise ValueError(
                f"{where}, {place}: the name is blank ({name!r}). Write a name or remove the entry"
            )
    if not candidates:
        raise ValueError(f"{where} has no names. Give at least one category")
    cleaned = tuple(" ".join(name.split()) for name in candidates)
    repeated = find_duplicates(cleaned, synonyms)
    if repeated:
        listed = "; ".join(
            f"{name!r} ({', '.join(places[index] for index in indices)})"
            for name, indices in list(repeated.items())[:MAX_LISTED]
        )
        more = f" and {len(repeated) - MAX_LISTED} more" if len(repeated) > MAX_LISTED else ""
        message = (
            f"{where} names categories twice: {listed}{more}. Their scores would tie, so the later "
            f"one would never be predicted. Remove it or give it a different name"
        )
        if duplicates == "error":
            raise ValueError(message)
        warnings.warn(message, stacklevel=3)
    return cleaned
