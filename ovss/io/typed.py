"""Records built from the content of JSON files, with their keys and types checked."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ["has_type", "record_from"]

_NAMES = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
}
_SHOWN = 40


def record_from(
    kind: type,
    content: Any,
    subject: str,
    advice: str,
    keys: Mapping[str, str] | None = None,
) -> Any:
    """Builds a dataclass from a JSON object with exactly its fields.

    Args:
        kind: dataclass.
        content: value of the file.
        subject: file and place of the value, for messages.
        advice: sentence that ends each message.
        keys: keys of fields that have another name in the file.

    Raises:
        ValueError: `content` is not an object, lacks a field, has a further one, or has a value
            of another type.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{subject} must be an object, but is missing or something else. {advice}")
    named = {(keys or {}).get(field.name, field.name): field.name for field in fields(kind)}
    missing = [key for key in named if key not in content]
    extra = [str(key)[:_SHOWN] for key in content if key not in named]
    if missing or extra:
        problem = " and ".join(
            f"{verb} {', '.join(names[:5])}"
            for verb, names in (("lacks", missing), ("has unknown", extra))
            if names
        )
        raise ValueError(f"{subject} {problem}. {advice}")
    hints = get_type_hints(kind)
    for key, name in named.items():
        if not has_type(content[key], hints[name]):
            raise ValueError(
                f"{key} of {subject} must be {_described(hints[name])}, but is "
                f"{str(content[key])[:_SHOWN]!r}. {advice}"
            )
    return kind(**{name: content[key] for key, name in named.items()})


def has_type(value: Any, hint: Any) -> bool:
    """Checks a value of JSON against a type annotation.

    An integer is a number too, but true and false are neither.

    >>> has_type({"a": 1}, dict[str, int]), has_type(True, int), has_type(None, str | None)
    (True, False, True)
    """
    if hint is Any:
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(has_type(value, argument) for argument in arguments)
    if origin is dict:
        return isinstance(value, dict) and all(has_type(v, arguments[1]) for v in value.values())
    if origin is list:
        return isinstance(value, list) and all(has_type(v, arguments[0]) for v in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _described(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_described, arguments))
    if origin is dict and arguments[1] is not Any:
        return f"an object whose values are {_described(arguments[1])}"
    if origin is list and arguments[0] is not Any:
        return f"a list whose items are {_described(arguments[0])}"
    return _NAMES.get(origin or hint, str(hint))
