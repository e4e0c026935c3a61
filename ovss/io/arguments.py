"""Types of the arguments of public functions, checked at the entrance against the annotations."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .annotations import annotations_of, misfit
from .excerpts import shortened

__all__ = ["check_fields", "typed_arguments"]

P = ParamSpec("P")
R = TypeVar("R")

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
        hints = annotations_of(function)
        for key, value in bound.arguments.items():
            if key in hints and signature.parameters[key].kind not in _VARIABLE:
                _check(value, hints[key], key, name)
        return function(*args, **kwargs)

    return checked


def check_fields(record: Any) -> None:
    """Checks the fields of a dataclass against their annotations; for `__post_init__`.

    Raises:
        TypeError: a field has a value of another type.
    """
    kind: Any = type(record)
    for key, hint in annotations_of(kind).items():
        _check(getattr(record, key), hint, key, kind.__name__)


def _name(function: Callable[..., Any]) -> str:
    """Name under which users call a function; a class for its constructor and its calls."""
    name = function.__qualname__
    return name.removesuffix(".__init__").removesuffix(".__call__").removesuffix(".__new__")


def _check_names(signature: inspect.Signature, keywords: Mapping[str, Any], name: str) -> None:
    """Raises an error for a keyword that a function does not have."""
    known = [key for key, each in signature.parameters.items() if each.kind not in _VARIABLE]
    if any(each.kind == inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values()):
        return
    for key in keywords:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else _choose(known)
            raise TypeError(f"{name} has no argument {shortened(key)!r}. {hint}")


def _choose(known: Sequence[str]) -> str:
    return f"Its arguments are {', '.join(key for key in known if key != 'self')}"


def _check(value: Any, hint: Any, key: str, name: str) -> None:
    problem = misfit(value, hint, f"{key} of {name}")
    if problem:
        raise TypeError(f"{problem}. Correct the argument")
