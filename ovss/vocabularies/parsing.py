"""Parser of class names as users type them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

__all__ = ["names_of", "split_words"]


def split_words(text: str) -> list[str]:
    """Splits one line into class names: commas separate categories, bars separate synonyms.

    A comma at the end is allowed.

    >>> split_words("cat, sofa|couch,")
    ['cat', 'sofa, couch']
    """
    names = text.strip().removesuffix(",").split(",")
    return [", ".join(part.strip() for part in name.split("|")) for name in names]


def names_of(words: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Converts any accepted form of a vocabulary to T checked class names.

    Args:
        words: sequence of names (``"sofa, couch"`` is one category with two synonyms); name of a
            registered vocabulary (``"ade20k_150"``); any other string, split by `split_words`; or
            `Path` of a file for `ovss.vocabularies.load_names`.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_names`.
        ValueError: an empty string, or one that resembles the name of a vocabulary.
    """
    from . import list_vocabularies, load_names

    if isinstance(words, str):
        words = words.strip()
        if not words:
            raise ValueError(
                "Expected at least one class name, got no words. Name a category, such as "
                "'cat, dog, grass'"
            )
        if words in list_vocabularies():
            return load_names(words)
        _check_spelling(words, list_vocabularies())
        return load_names(split_words(words))
    if not isinstance(words, (Path, Sequence)):
        raise TypeError(
            f"`words` must be a list of names, a string or a Path, got {type(words).__name__}"
        )
    return load_names(words)


def _check_spelling(text: str, known: Sequence[str]) -> None:
    """Raises an error for a misspelt vocabulary, which would become a category of this name."""
    if set(",| ") & set(text):
        return
    close = [name for name in known if name.startswith(f"{text.lower()}_")]
    close = close or difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.75)
    if close:
        raise ValueError(
            f"Unknown vocabulary {text!r}. Did you mean {' or '.join(close[:3])}? To look for a "
            f"single category of this name, add a comma: '{text},'"
        )
