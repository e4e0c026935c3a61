"""Types of the arguments of public functions, checked at the entrance against the annotations."""

from __future__ import annotations

import difflib
import inspect
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from typing import (
    IO,
    Any,
    Literal,
    ParamSpec,
    SupportsIndex,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

__all__ = ["check_fields", "typed_arguments"]

P = ParamSpec("P")
R = TypeVar("R")

_NOUNS: dict[Any, str] = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "True or False",
    type(None): "None",
    Path: "a path",
    os.PathLike: "a path",
    SupportsIndex: "an index",
    Callable: "a function",
}
_PLURALS = {str: "texts", int: "integers", float: "numbers"}
_LISTS = (list, tuple, Sequence, Iterable)
_LONGEST = 60
_LISTED = (list, tuple, set, frozenset)
"""Containers whose items are checked; an iterator would be empty afterwards."""


def typed_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that refuses arguments whose type is not that of their annotation.

    The caller learns which argument is wrong, in place of an error from deep inside. Integers
    count as numbers, but booleans as neither. An annotation that is not understood accepts
    everything. The items of lists and dicts are checked too, those of iterators are not.
    """
    signature = inspect.signature(function)
    name = _name(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            _check_names(signature, kwargs, name)
            return function(*args, **kwargs)  # Python names the missing argument
        hints = _hints(function)
        for key, value in bound.arguments.items():
            if key in hints and signature.parameters[key].kind not in _VARIABLE:
                _check(value, hints[key], key, name)
        return function(*args, **kwargs)

    return checked


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_fields(record: Any) -> None:
    """Checks the fields of a dataclass against their annotations; for `__post_init__`.

    Raises:
        TypeError: a field has a value of another type.
    """
    kind: Any = type(record)
    for key, hint in _hints(kind).items():
        _check(getattr(record, key), hint, key, kind.__name__)


def _shown(value: Any) -> str:
    """Short text of a value for messages: simple values themselves, the type of others.

    >>> _shown("cat"), _shown(3), _shown([1]), _shown(object())
    ("'cat'", '3', 'a list', 'an object')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | bytes | Real):
        try:
            text = repr(value)
        except ValueError:  # an integer of thousands of digits
            return "a number of thousands of digits"
        return f"{text[:_LONGEST]}..." if len(text) > _LONGEST else text
    return _with_article(type(value).__name__)


def _name(function: Callable[..., Any]) -> str:
    """Name under which users call a function; a class for its constructor and its calls."""
    name = function.__qualname__
    return name.removesuffix(".__init__").removesuffix(".__call__").removesuffix(".__new__")


@cache
def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except Exception:  # an annotation may name what is imported for type checkers only
        return {}


def _check_names(signature: inspect.Signature, keywords: Mapping[str, Any], name: str) -> None:
    """Raises an error for a keyword that a function does not have."""
    known = [key for key, each in signature.parameters.items() if each.kind not in _VARIABLE]
    if any(each.kind == inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values()):
        return
    for key in keywords:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else _choose(known)
            raise TypeError(f"{name} has no argument {key[:_LONGEST]!r}. {hint}")


def _choose(known: Sequence[str]) -> str:
    return f"Its arguments are {', '.join(key for key in known if key != 'self')}"


def _check(value: Any, hint: Any, key: str, name: str) -> None:
    problem = _problem(value, hint, f"{key} of {name}")
    if problem:
        raise TypeError(f"{problem}. Correct the argument")


def _problem(value: Any, hint: Any, place: str) -> str:
    """Difference between a value and an annotation as a sentence; empty if there is none."""
    is_union = get_origin(hint) in (Union, types.UnionType)
    options = [each for each in (get_args(hint) if is_union else (hint,)) if _is_of(value, each)]
    if not options:
        return f"{place} must be {_described(hint)}, got {_shown(value)}"
    problems = [next(_item_problems(value, each, place), "") for each in options]
    return "" if "" in problems else problems[0]


def _is_of(value: Any, hint: Any) -> bool:
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
    if kind is dict:
        return isinstance(value, Mapping)
    if kind is list:
        return isinstance(value, list | tuple)
    if kind in (Sequence, Iterable) and isinstance(value, str | bytes | bytearray):
        return False
    if kind is Any or kind is IO or not isinstance(kind, type):
        return True
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol without a check at run time
        return True


def _item_problems(value: Any, hint: Any, place: str) -> Iterator[str]:
    """Differences of the items of a list or dict, the first of which is reported."""
    arguments = get_args(hint)
    found: Iterable[str] = ()
    if not arguments or get_origin(hint) is Literal:
        return
    if isinstance(value, Mapping) and len(arguments) == 2:
        keys = (_problem(key, arguments[0], f"a key of {place}") for key in value)
        items = (
            _problem(item, arguments[1], f"{place} at {_shown(k)}") for k, item in value.items()
        )
        found = (*keys, *items)
    elif isinstance(value, _LISTED) and len({*arguments} - {Ellipsis}) == 1:
        found = (_problem(v, arguments[0], f"item {i} of {place}") for i, v in enumerate(value))
    yield from filter(None, found)


def _described(hint: Any) -> str:
    """Annotation in words.

    >>> _described(str | Path | Sequence[str] | None)
    'text, a path, a list of texts or None'
    """
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        words = list(dict.fromkeys(map(_described, arguments)))
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if kind is Literal:
        return " or ".join(map(repr, arguments))
    if kind in _LISTS:
        items = _PLURALS.get(arguments[0], "") if arguments else ""
        noun = "a tuple" if kind is tuple else "a list"
        return f"{noun} of {items}" if items else noun
    if kind in (dict, Mapping):
        return "a dict"
    return _NOUNS.get(kind) or _with_article(getattr(kind, "__name__", str(kind)))


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
