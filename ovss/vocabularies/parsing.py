"""Parser of class names as users type them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["names_of", "split_words"]


def split_words(text: str) -> list[str]:
    """Splits one line into class names: commas separate categories, bars separate synonyms.

    >>> split_words("cat, sofa|couch")
    ['cat', 'sofa, couch']
    """
    return [", ".join(part.strip() for part in name.split("|")) for name in text.split(",")]


def names_of(words: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Converts any accepted form of a vocabulary to T checked class names.

    Args:
        words: sequence of names (``"sofa, couch"`` is one category with two synonyms); name of a
            registered vocabulary (``"ade20k_150"``); any other string, split by `split_words`; or
            `Path` of a file for `ovss.vocabularies.load_names`.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_names`.
        ValueError: an empty string.
    """
    from . import list_vocabularies, load_names

    if isinstance(words, str):
        words = words.strip()
        if not words:
            raise ValueError(
                "Expected at least one class name, got no words. Name a category, such as "
                "'cat, dog, grass'"
            )
        return load_names(words if words in list_vocabularies() else split_words(words))
    if not isinstance(words, (Path, Sequence)):
        raise TypeError(
            f"`words` must be a list of names, a string or a Path, got {type(words).__name__}"
        )
    return load_names(words)
