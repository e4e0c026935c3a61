"""Checks of option values against the annotations of the function that takes them."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .excerpts import excerpt
from .strict_json import MAX_INTEGER

__all__ = ["check_range", "check_values"]

_WORDS = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "text",
    dict: "dict(...)",
    type(None): "None",
}
_PLURALS = {int: "integers", float: "numbers", str: "texts", dict: "dicts", bool: "booleans"}
_LISTS = (list, tuple, Sequence, Iterable)


def check_values(function: Callable, values: Mapping[str, Any], where: str) -> None:
    """Checks that values have the types that a function's annotations name.

    An annotation that is not understood accepts everything. Lists count as tuples and integers as
    numbers, but booleans as neither.

    Args:
        function: class or function.
        values: keyword arguments; those that the function does not name are skipped.
        where: dotted key or name of the arguments' owner, for messages.

    Raises:
        TypeError: a value of another type.
        ValueError: a number that is NaN, or an integer of more than 64 bits.
    """
    hints = _hints(function)
    for name, value in values.items():
        hint = hints.get(name)
        if hint is not None and not _fits(value, hint):
            raise TypeError(
                f"{where}.{name} must be {_described(hint)}, got {excerpt(value)}. Correct the "
                f"value"
            )
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise ValueError(
                f"{where}.{name} must be an integer of 64 bits, got {excerpt(value)}. Correct the "
                f"value"
            )
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{where}.{name} must be a number, got NaN. Correct the value")


def check_range(where: str, low: float, high: float = math.inf, **values: Any) -> None:
    """Checks that numbers lie in a closed range; None and NaN are outside of every range.

    Args:
        where: dotted key or name of the numbers' owner, for messages.
        low: smallest number.
        high: largest number.
        values: numbers by name.

    Raises:
        ValueError: a number outside the range, or something else.
    """
    for name, value in values.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            limits = f"{low} to {high}" if high < math.inf else f"at least {low}"
            raise ValueError(
                f"{where}.{name} must be {limits}, got {excerpt(value)}. Correct the value"
            )


def _hints(function: Callable) -> dict[str, Any]:
    target = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        return get_type_hints(target)
    except Exception:  # an annotation may name what is imported for type checkers only
        return {}


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    kind = origin or hint
    if kind in (dict, Mapping):  # a component stands for its config
        return isinstance(value, Mapping) or not isinstance(value, (Real, str, list, tuple, set))
    if kind in _LISTS:
        return _list_fits(value, arguments)
    return True


def _list_fits(value: Any, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, (Real, str, Mapping)) or value is None:
        return False
    if not isinstance(value, (list, tuple)):
        return True
    if len(arguments) > 1 and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    return not arguments or all(_fits(item, arguments[0]) for item in value)


def _described(hint: Any) -> str:
    """Annotation in words.

    >>> _described(int | tuple[int, int] | None)
    'an integer, 2 integers or None'
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        words = list(dict.fromkeys(map(_described, arguments)))
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if (origin or hint) in _LISTS:
        items = _PLURALS.get(get_origin(arguments[0]) or arguments[0], "items") if arguments else ""
        if len(arguments) > 1 and arguments[-1] is not Ellipsis:
            return f"{len(arguments)} {items}"
        return f"a list of {items}" if items else "a list"
    return _WORDS.get(origin or hint, getattr(hint, "__name__", str(hint)))
