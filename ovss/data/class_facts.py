"""Optional facts of a class file: seen marks, prompts, colours and ignored label values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ovss.io.excerpts import excerpt
from ovss.structures import split_synonyms

from .class_colors import IGNORED_KEYS, Color, checked_list, read_palette
from .class_marks import read_marks
from .labels import find_class

WORDS_KEYS = ("words", "text_names", "prompts")
PALETTE_KEYS = ("palette", "colors", "colours")
HIGHEST = 65535  # largest label value
LOWEST = -32768  # smallest value that can mean "not labelled", in files with signed values
REDUCE_KEYS = ("reduce_zero_label", "do_reduce_labels")
FACT_KEYS = frozenset(
    {"seen", "unseen", *IGNORED_KEYS, *WORDS_KEYS, *PALETTE_KEYS, *REDUCE_KEYS, "mask_suffix"}
)

_CLASS_KEYS = frozenset({"synonyms", "index", "color", "colour"})  # in the object of one class


@dataclass(frozen=True)
class ClassFacts:
    """Optional facts about T classes; None for a fact that the file does not state.

    Args:
        seen: class names that training showed.
        words: map from class names to the names that a model segments in their place.
        colors: T RGB triples.
        ignored: label values that mean "not labelled"; -1 is the largest value of unsigned files.
        ignored_names: labels of annotation files that mean "not labelled".
        ignored_colors: RGB triples that mean "not labelled".
        mask_suffix: suffix that replaces an image's file type in the name of its label map.
        reduce_zero_label: True if label value 0 means "not labelled" and 1 is the first class.
    """

    seen: tuple[str, ...] | None = None
    words: dict[str, tuple[str, ...]] | None = None
    colors: tuple[Color, ...] | None = None
    ignored: tuple[int, ...] | None = None
    ignored_names: tuple[str, ...] | None = None
    ignored_colors: tuple[Color, ...] | None = None
    mask_suffix: str | None = None
    reduce_zero_label: bool | None = None

    def with_defaults(self, other: ClassFacts) -> ClassFacts:
        """Returns a copy whose missing facts are taken from `other`."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return ClassFacts(
            **{key: getattr(other, key) if value is None else value for key, value in own.items()}
        )


def read_facts(
    record: Mapping[str, Any], names: Sequence[str], raw: Sequence[int], where: str
) -> ClassFacts:
    """Reads the facts of a JSON object about T classes.

    Args:
        record: JSON object with any of ``seen``, ``unseen``, ``words``, ``palette``, ``ignored``,
            ``mask_suffix``, ``reduce_zero_label`` and their alternative spellings in this module.
            Other keys are ignored.
        names: T class names.
        raw: label values of the classes.
        where: file of the record, for messages.

    Raises:
        ValueError: an unknown class, contradictory marks, a malformed colour or label value, or a
            misspelt key.
    """
    check_spelling(record, where)
    palette = _first(record, PALETTE_KEYS)
    colors, ignored_colors = (
        (None, None) if palette is None else read_palette(palette, names, raw, where)
    )
    ignored, ignored_names = _ignored_values(_first(record, IGNORED_KEYS), where)
    words = _first(record, WORDS_KEYS)
    suffix = record.get("mask_suffix")
    if suffix is not None and (not isinstance(suffix, str) or "/" in suffix):
        raise ValueError(
            f"mask_suffix must be the end of a file name in {where}, got {excerpt(suffix)}. Write "
            f"one such as '_labels.png'"
        )
    reduce_zero_label = _first(record, REDUCE_KEYS)
    if not isinstance(reduce_zero_label, bool | None):
        raise ValueError(
            f"reduce_zero_label must be true or false in {where}, got "
            f"{excerpt(reduce_zero_label)}. Write true if label value 0 means 'not labelled'"
        )
    return ClassFacts(
        seen=read_marks(record.get("seen"), record.get("unseen"), names, where),
        words=None if words is None else _read_words(words, record.get("word_class"), names, where),
        colors=colors,
        ignored=ignored,
        ignored_names=ignored_names,
        ignored_colors=ignored_colors,
        mask_suffix=suffix,
        reduce_zero_label=reduce_zero_label,
    )


def check_spelling(keys: Iterable[str], where: str, of_one_class: bool = False) -> None:
    """Raises an error if a key is close to a known one, because it would be ignored silently.

    Args:
        keys: keys of a JSON object.
        where: source of the object, for messages.
        of_one_class: True for the object of a single class, which may have further keys.

    Raises:
        ValueError: a misspelt key. Keys that resemble no known key are allowed.
    """
    known = FACT_KEYS | _CLASS_KEYS if of_one_class else FACT_KEYS
    for key in keys:
        close = difflib.get_close_matches(str(key).lower(), known, n=1, cutoff=0.82)
        if key not in known and close:
            raise ValueError(f"Unknown key {excerpt(key)} in {where}. Did you mean {close[0]!r}?")


def _read_words(
    words: Any, word_class: Any, names: Sequence[str], where: str
) -> dict[str, tuple[str, ...]]:
    if not isinstance(words, Mapping):
        words = checked_list(words, where, "words")
    if word_class is not None:
        owners = checked_list(word_class, where, "word_class")
        if len(owners) != len(words) or any(k not in owners for k in range(len(names))):
            raise ValueError(
                f"'word_class' must give each of the {len(words)} words one of the {len(names)} "
                f"classes, and each class a word, in {where}"
            )
        listed = [[w for w, i in zip(words, owners) if i == k] for k in range(len(names))]
        return {name: _word_list(value, where) for name, value in zip(names, listed)}
    if isinstance(words, Mapping):
        return {
            names[find_class(key, names, where, "words")]: _word_list(value, where)
            for key, value in words.items()
        }
    if len(words) != len(names):
        raise ValueError(
            f"'words' must have one entry for each class in {where}, got {len(words)} words for "
            f"{len(names)} classes"
        )
    return {name: _word_list(value, where) for name, value in zip(names, words)}


def _word_list(value: Any, where: str) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else checked_list(value, where, "words of a class")
    if not words or not all(isinstance(w, str) and split_synonyms(w) for w in words):
        raise ValueError(f"The words of a class must be strings in {where}, got {excerpt(value)}")
    return tuple(words)


def _ignored_values(
    value: Any, where: str
) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Reads label values and names that mean "not labelled"; None for those that are not stated."""
    if value is None:
        return None, None
    values = value if isinstance(value, list | tuple) else [value]
    if values and all(isinstance(v, str) and v.strip() for v in values):
        return None, tuple(values)
    wrong = [v for v in values if type(v) is not int or not LOWEST <= v <= HIGHEST]
    if wrong:
        raise ValueError(
            f"Ignored values must be integers in {LOWEST}..{HIGHEST}, got {excerpt(wrong[0])} in "
            f"{where}. Write values such as [255], or names if the annotation files have names"
        )
    return tuple(values), None


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)
