"""What may stand beside the names of classes: marks, words, colours, values without a label."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ovss.structures import split_synonyms

from .class_colors import IGNORED_KEYS, Color, as_list, read_palette
from .labels import category_key, find_class

WORDS_KEYS = ("words", "text_names", "prompts")
PALETTE_KEYS = ("palette", "colors", "colours")
HIGHEST = 65535  # of label values
FACT_KEYS = frozenset({"seen", "unseen", *IGNORED_KEYS, *WORDS_KEYS, *PALETTE_KEYS, "mask_suffix"})


_OF_ONE = frozenset({"synonyms", "index", "color", "colour"})


@dataclass(frozen=True)
class ClassFacts:
    """None where nothing is said.

    Args:
        seen: names that training showed.
        words: class -> the words that a model is asked for it.
        colors: T RGB triples.
        ignored: label values that mean "not labelled".
        ignored_colors: RGB triples that do.
        mask_suffix: how the name of a label map ends where the picture's ends in its file type.
    """

    seen: tuple[str, ...] | None = None
    words: dict[str, tuple[str, ...]] | None = None
    colors: tuple[Color, ...] | None = None
    ignored: tuple[int, ...] | None = None
    ignored_colors: tuple[Color, ...] | None = None
    mask_suffix: str | None = None

    def completed(self, other: ClassFacts) -> ClassFacts:
        """These, and the other's where these say nothing."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return ClassFacts(
            **{key: getattr(other, key) if said is None else said for key, said in mine.items()}
        )


def read_facts(
    record: Mapping[str, Any], names: Sequence[str], raw: Sequence[int], where: str
) -> ClassFacts:
    """The facts of a JSON object about T classes.

    Args:
        record: may hold ``seen``, ``unseen``, ``words``, ``palette``, ``ignored``, ``mask_suffix``
            (and the other spellings in this module); other keys do not matter.
        names: the T classes; raw: their label values.
        where: the file, for messages.

    Raises:
        ValueError: a class that is not there, marks that contradict each other, something that is
            no colour or no label value, a key that is nearly one of these.
    """
    refuse_misspelt(record, where)
    palette = _first(record, PALETTE_KEYS)
    colors, ignored_colors = (
        (None, None) if palette is None else read_palette(palette, names, raw, where)
    )
    ignored = _first(record, IGNORED_KEYS)
    words = _first(record, WORDS_KEYS)
    suffix = record.get("mask_suffix")
    if suffix is not None and (not isinstance(suffix, str) or "/" in suffix):
        raise ValueError(f"{where}: mask_suffix must be the end of a name such as '_labels.png'")
    return ClassFacts(
        seen=read_marks(record.get("seen"), record.get("unseen"), names, where),
        words=None if words is None else _read_words(words, record.get("word_class"), names, where),
        colors=colors,
        ignored=None if ignored is None else _values(ignored, where),
        ignored_colors=ignored_colors,
        mask_suffix=suffix,
    )


def refuse_misspelt(keys: Iterable[str], where: str, of_one_class: bool = False) -> None:
    """A key that is nearly one of ours would be passed over, and marks or synonyms with it.

    Raises:
        ValueError: with the key that was meant; keys unlike all of ours do not matter.
    """
    ours = FACT_KEYS | _OF_ONE if of_one_class else FACT_KEYS
    for key in keys:
        close = difflib.get_close_matches(str(key).lower(), ours, n=1, cutoff=0.82)
        if key not in ours and close:
            raise ValueError(f"{where}: nothing reads the key {key!r}; did you mean {close[0]!r}?")


def read_marks(seen: Any, unseen: Any, names: Sequence[str], where: str) -> tuple[str, ...] | None:
    """The seen ones of T names, from lists of names of which either may be None; None for both.

    One list leaves the other classes to the other mark; two lists must cover all.
    """
    if seen is None and unseen is None:
        return None
    marked = {
        mark: None
        if given is None
        else [find_class(entry, names, where, mark) for entry in as_list(given, where, mark)]
        for mark, given in (("seen", seen), ("unseen", unseen))
    }
    shown, hidden = marked["seen"], marked["unseen"]
    if shown is None:
        shown = [i for i in range(len(names)) if i not in (hidden or ())]
    elif hidden is not None:
        both = [names[i] for i in shown if i in hidden]
        neither = [name for i, name in enumerate(names) if i not in shown and i not in hidden]
        if both or neither:
            what = f"{both[0]!r} both seen and unseen" if both else f"no mark for {neither[0]!r}"
            raise ValueError(f"{where}: {what}; give each class one mark, or list one kind only")
    _check_apart(names, shown, where)
    return tuple(names[i] for i in sorted(shown))


def _check_apart(names: Sequence[str], shown: Sequence[int], where: str) -> None:
    """A synonym of a seen class must not name an unseen one: names decide what was seen."""
    seen_words = {word: names[i] for i in shown for word in category_key(names[i])}
    for i, name in enumerate(names):
        shared = () if i in shown else sorted(category_key(name) & seen_words.keys())
        if shared:
            raise ValueError(
                f"{where}: {shared[0]!r} belongs to {seen_words[shared[0]]!r}, marked seen, and to "
                f"{name!r}, marked unseen; a word is one or the other: take it out of one of them"
            )


def _read_words(
    words: Any, word_class: Any, names: Sequence[str], where: str
) -> dict[str, tuple[str, ...]]:
    if not isinstance(words, Mapping):
        words = as_list(words, where, "words")
    if word_class is not None:
        owners = as_list(word_class, where, "word_class")
        if len(owners) != len(words) or any(k not in owners for k in range(len(names))):
            raise ValueError(
                f"{where}: word_class must give each of the {len(words)} words one of the "
                f"{len(names)} classes, and each class a word"
            )
        listed = [[w for w, i in zip(words, owners) if i == k] for k in range(len(names))]
        return {name: _word_list(value, where) for name, value in zip(names, listed)}
    if isinstance(words, Mapping):
        return {
            names[find_class(key, names, where, "words")]: _word_list(value, where)
            for key, value in words.items()
        }
    if len(words) != len(names):
        raise ValueError(f"{where}: {len(words)} words beside {len(names)} classes")
    return {name: _word_list(value, where) for name, value in zip(names, words)}


def _word_list(given: Any, where: str) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else as_list(given, where, "words of a class")
    if not listed or not all(isinstance(w, str) and split_synonyms(w) for w in listed):
        raise ValueError(f"{where}: words of a class must be strings, got {given!r}")
    return tuple(listed)


def _values(given: Any, where: str) -> tuple[int, ...]:
    listed = given if isinstance(given, list | tuple) else [given]
    wrong = [value for value in listed if type(value) is not int or value > HIGHEST]
    if wrong:
        raise ValueError(
            f"{where}: ignored values must be integers up to {HIGHEST}, got {wrong[0]!r}"
        )
    return tuple(value for value in listed if value >= 0)


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)
