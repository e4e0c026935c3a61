"""Words as people type them, as the tuple of names that a vocabulary is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["names_of", "split_words"]


def split_words(text: str) -> list[str]:
    """One line of words: a comma parts categories, a bar parts the synonyms of one.

    >>> split_words("cat, sofa|couch")
    ['cat', 'sofa, couch']
    """
    return [", ".join(part.strip() for part in word.split("|")) for word in text.split(",")]


def names_of(words: str | Path | Sequence[str]) -> tuple[str, ...]:
    """T checked names of whatever a caller gave for words.

    Args:
        words: a sequence of names (``"sofa, couch"`` is one with two synonyms); the name of a
            vocabulary (``"ade20k_150"``); any other string, split by `split_words`; or a `Path` of
            a file that `ovss.vocabularies.load_names` reads.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_names`; no words at all.
    """
    from . import list_vocabularies, load_names

    if isinstance(words, str):
        words = words.strip()
        if not words:
            raise ValueError("no words: name at least one category, such as 'cat, dog, grass'")
        return load_names(words if words in list_vocabularies() else split_words(words))
    if not isinstance(words, (Path, Sequence)):
        raise TypeError(
            f"words are a list of names, one string, or a Path, not {type(words).__name__}"
        )
    return load_names(words)
