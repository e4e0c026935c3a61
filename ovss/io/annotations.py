"""Values compared with type annotations, and annotations in words, for messages.

Used for arguments of public functions, options of configs, and the content of JSON files.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import IO, Any, Literal, SupportsIndex, Union, get_args, get_origin, get_type_hints

from .excerpts import excerpt

__all__ = ["CONFIG", "JSON", "PYTHON", "annotations_of", "in_words", "misfit"]

Nouns = Mapping[Any, str]

PYTHON: Nouns = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "True or False",
    type(None): "None",
    Path: "a path",
    os.PathLike: "a path",
    SupportsIndex: "an index",
    Callable: "a function",
    dict: "a dict",
    Mapping: "a dict",
    tuple: "a tuple",
    list: "a list",
    Sequence: "a list",
    Iterable: "a list",
}
"""Words for arguments of functions."""
JSON: Nouns = {**PYTHON, bool: "true or false", type(None): "null", dict: "an object"}
"""Words for the content of JSON files."""
CONFIG: Nouns = {**PYTHON, dict: "dict(...)", Mapping: "dict(...)", tuple: "a list"}
"""Words for options of configs. Lists count as tuples there, and a component as its config."""

_PLURALS = {str: "texts", int: "integers", float: "numbers", bool: "booleans", dict: "dicts"}
_LISTS = (list, tuple, Sequence, Iterable)
_LISTED = (list, tuple, set, frozenset)
"""Containers whose items are checked; an iterator would be empty afterwards."""


def misfit(value: Any, hint: Any, place: str, nouns: Nouns = PYTHON) -> str:
    """Difference between a value and an annotation as a sentence; empty if there is none.

    Integers count as numbers, but booleans as neither. An annotation that is not understood accepts
    everything. The items of lists and dicts are checked too, those of iterators are not.

    Args:
        value: value to check.
        hint: annotation.
        place: place of the value, which starts the sentence.
        nouns: words of the sentence; with `CONFIG` the rules of configs apply.

    >>> misfit(["a", 3], list[str], "names"), misfit(True, int, "count"), misfit(3, float, "share")
    ('item 1 of names must be text, got 3', 'count must be an integer, got True', '')
    """
    options = [each for each in _options(hint) if _is_of(value, each, nouns)]
    if not options:
        return f"{place} must be {in_words(hint, nouns)}, got {excerpt(value)}"
    problems = [next(_misfits_inside(value, each, place, nouns), "") for each in options]
    return "" if "" in problems else problems[0]


def in_words(hint: Any, nouns: Nouns = PYTHON) -> str:
    """Annotation in words.

    >>> in_words(str | Path | Sequence[str] | None), in_words(int | tuple[int, int], CONFIG)
    ('text, a path, a list of texts or None', 'an integer or 2 integers')
    """
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        words = list(dict.fromkeys(in_words(each, nouns) for each in arguments))
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if kind is Literal:
        return " or ".join(map(repr, arguments))
    if kind in _LISTS and arguments:
        items = _PLURALS.get(get_origin(arguments[0]) or arguments[0], "")
        if _is_fixed(hint):
            return f"{len(arguments)} {items or 'items'}"
        return f"{nouns[kind]} of {items}" if items else nouns[kind]
    return nouns.get(kind) or _with_article(getattr(kind, "__name__", str(kind)))


@cache
def annotations_of(target: Any) -> dict[str, Any]:
    """Annotations of a function or of the fields of a class; none if they cannot be resolved."""
    try:
        return get_type_hints(target)
    except Exception:  # an annotation may name what is imported for type checkers only
        return {}


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_fixed(hint: Any) -> bool:
    """True for a tuple of a stated length."""
    arguments = get_args(hint)
    return get_origin(hint) is tuple and Ellipsis not in arguments and arguments != ()


def _is_of(value: Any, hint: Any, nouns: Nouns) -> bool:
    """True if a value has the kind of an annotation other than a union, apart from its items."""
    kind = get_origin(hint) or hint
    if kind is Literal:
        return any(value == each for each in get_args(hint))
    if kind is int or kind is float:
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is bool:  # numpy's as well
        return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")
    if kind is None or kind is type(None):
        return value is None
    if kind is Path:
        return isinstance(value, os.PathLike)
    if kind in (dict, Mapping):
        is_part = nouns is CONFIG and not isinstance(value, (Real, str, *_LISTED, type(None)))
        return isinstance(value, Mapping) or is_part
    if kind in _LISTS:
        return _is_list_of(value, hint, kind, nouns)
    if kind is str:
        return isinstance(value, str)
    if kind is Any or kind is IO or not isinstance(kind, type) or nouns is CONFIG:
        return True
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol without a check at run time
        return True


def _is_list_of(value: Any, hint: Any, kind: Any, nouns: Nouns) -> bool:
    if isinstance(value, (str, bytes, bytearray)):
        return False
    if _is_fixed(hint) and isinstance(value, (list, tuple)) and len(value) != len(get_args(hint)):
        return False
    if nouns is CONFIG:  # numbers in an array or a range will do
        return not isinstance(value, (Real, Mapping, type(None)))
    return isinstance(value, (list, tuple) if kind is list else kind)


def _misfits_inside(value: Any, hint: Any, place: str, nouns: Nouns) -> Iterator[str]:
    """Differences of the items of a list or dict."""
    arguments = get_args(hint)
    found: Iterable[str] = ()
    if not arguments or get_origin(hint) is Literal:
        return
    if isinstance(value, Mapping) and len(arguments) == 2:
        keys = (misfit(key, arguments[0], f"a key of {place}", nouns) for key in value)
        items = (
            misfit(item, arguments[1], f"{place} at {excerpt(key)}", nouns)
            for key, item in value.items()
        )
        found = (*keys, *items)
    elif isinstance(value, _LISTED):
        kinds = arguments if _is_fixed(hint) else arguments[:1] * len(value)
        pairs = enumerate(zip(value, kinds, strict=False))
        found = (misfit(item, each, f"item {i} of {place}", nouns) for i, (item, each) in pairs)
    yield from filter(None, found)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
