"""Names that a model segments if they differ from the classes that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovss.structures import split_synonyms
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import category_key

from .labels import class_index

BACKGROUND = "background"
EACH_SYNONYM = "each synonym"

Words = str | Sequence[str] | Sequence[tuple[str, str | int]] | Mapping[str, str | Sequence[str]]


def words_of_classes(
    words: Words | None, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Assigns each of W names to segment to one of T classes.

    The accepted forms of `words` are:

    - None: the class names.
    - A map from classes to one or several names. Classes without an entry keep their name.
    - Pairs (name, class or its index).
    - A registered vocabulary, a file or a list of names. Each name counts as the class that shares
      a synonym with it, or as the class ``background`` if none does.
    - ``"each synonym"``: every synonym of a class is a name of its own.

    Args:
        words: names to segment, in one of these forms.
        names: T class names.

    Returns:
        W names and W class indices; None if the names are the class names.

    Raises:
        ValueError: an unknown class, a class without a name, or a name without a class.

    >>> words_of_classes({"background": ["sky", "wall"]}, ["cat", "background"])
    (('cat', 'sky', 'wall'), (0, 1, 1))
    >>> words_of_classes("each synonym", ["sofa, couch", "cat"])
    (('sofa', 'couch', 'cat'), (0, 0, 1))
    """
    if words is None:
        return None
    pairs = _pairs(words, names)
    used = {index for _, index in pairs}
    missing = [name for i, name in enumerate(names) if i not in used]
    if missing:
        raise ValueError(
            f"`words` must have a name for every class, got none for "
            f"{', '.join(map(repr, missing[:5]))}. Add a name, or in a map leave the class out to "
            f"use its class name"
        )
    by_word = {" ".join(word.split()).casefold(): index for word, index in pairs}
    ambiguous = [w for w, i in pairs if by_word[" ".join(w.split()).casefold()] != i]
    if ambiguous and words != EACH_SYNONYM:
        raise ValueError(
            f"The name {ambiguous[0]!r} in `words` belongs to two classes, so only the first could "
            f"be predicted. Use different names"
        )
    if [w for w, _ in pairs] == list(names) and [i for _, i in pairs] == list(range(len(names))):
        return None
    return tuple(w for w, _ in pairs), tuple(i for _, i in pairs)


def _pairs(words: Words, names: Sequence[str]) -> list[tuple[str, int]]:
    if isinstance(words, Mapping):
        entries = {class_index(key, names, "`words`"): value for key, value in words.items()}
        return [
            (word, index)
            for index, name in enumerate(names)
            for word in _as_sequence(entries.get(index, (name,)))
        ]
    if words == EACH_SYNONYM:
        return [(word, i) for i, name in enumerate(names) for word in split_synonyms(name)]
    if not isinstance(words, str) and words and not isinstance(words[0], str):
        return [(str(word), class_index(owner, names, "`words`")) for word, owner in words]  # type: ignore[misc, str-unpack]
    background = next((i for i, n in enumerate(names) if BACKGROUND in category_key(n)), None)
    pairs = []
    for word in load_names(words, duplicates="warn"):  # type: ignore[arg-type]
        index = next((i for i, n in enumerate(names) if category_key(n) & category_key(word)), None)
        index = background if index is None else index
        if index is None:
            raise ValueError(
                f"The name {word!r} in `words` shares no synonym with a class, and the classes "
                f"have no {BACKGROUND!r} to count it as. Give pairs (name, class)"
            )
        pairs.append((word, index))
    return pairs


def _as_sequence(words: str | Sequence[str]) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words
