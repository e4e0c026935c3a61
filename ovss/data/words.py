"""The words that a model is asked, where they are not the classes that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovss.structures import split_synonyms
from ovss.vocabularies import load_names

from .labels import category_key, class_index

BACKGROUND = "background"
EACH_SYNONYM = "each synonym"

Words = str | Sequence[str] | Sequence[tuple[str, str | int]] | Mapping[str, str | Sequence[str]]


def words_of_classes(
    words: Words | None, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """W words, and the class that each counts as; None where the words are the classes.

    Args:
        words: None: each class is asked by its name. A map from classes to their words: classes
            that it lacks are asked by their names. Pairs (word, class or its index). A registered
            vocabulary, a file or a list of words: each counts as the class that shares a synonym
            with it, and those that share none as the class ``background``. ``"each synonym"``:
            every synonym of a class is asked on its own.
        names: the T classes.

    Raises:
        ValueError: a class that is not there, one that no word stands for, words for no class.

    >>> words_of_classes({"background": ["sky", "wall"]}, ["cat", "background"])
    (('cat', 'sky', 'wall'), (0, 1, 1))
    >>> words_of_classes("each synonym", ["sofa, couch", "cat"])
    (('sofa', 'couch', 'cat'), (0, 0, 1))
    """
    if words is None:
        return None
    pairs = _pairs(words, names)
    asked = {index for _, index in pairs}
    never = [name for i, name in enumerate(names) if i not in asked]
    if never:
        raise ValueError(
            f"no word stands for {', '.join(map(repr, never[:5]))}: it could never be predicted. "
            f"Give it a word, or leave it out of `words` to be asked by its name"
        )
    by_word = {" ".join(word.split()).casefold(): index for word, index in pairs}
    twice = [w for w, i in pairs if by_word[" ".join(w.split()).casefold()] != i]
    if twice and words != EACH_SYNONYM:
        raise ValueError(
            f"the word {twice[0]!r} stands for two classes, so only the first could ever win it: "
            f"tell them apart"
        )
    if [w for w, _ in pairs] == list(names) and [i for _, i in pairs] == list(range(len(names))):
        return None
    return tuple(w for w, _ in pairs), tuple(i for _, i in pairs)


def _pairs(words: Words, names: Sequence[str]) -> list[tuple[str, int]]:
    if isinstance(words, Mapping):
        given = {class_index(key, names, "`words`"): value for key, value in words.items()}
        return [
            (word, index)
            for index, name in enumerate(names)
            for word in _listed(given.get(index, (name,)))
        ]
    if words == EACH_SYNONYM:
        return [(word, i) for i, name in enumerate(names) for word in split_synonyms(name)]
    if not isinstance(words, str) and words and not isinstance(words[0], str):
        return [(str(word), class_index(owner, names, "`words`")) for word, owner in words]  # type: ignore[misc, str-unpack]
    asked = load_names(words, duplicates="warn")  # type: ignore[arg-type]
    ground = next((i for i, n in enumerate(names) if BACKGROUND in category_key(n)), None)
    pairs = []
    for word in asked:
        index = next((i for i, n in enumerate(names) if category_key(n) & category_key(word)), None)
        index = ground if index is None else index
        if index is None:
            raise ValueError(
                f"the word {word!r} shares no synonym with a class, and there is no class "
                f"{BACKGROUND!r} to take it: give pairs (word, class)"
            )
        pairs.append((word, index))
    return pairs


def _listed(words: str | Sequence[str]) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words
