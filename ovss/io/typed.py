"""Records built from the content of JSON files, with their keys and types checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .annotations import JSON, annotations_of, misfit

__all__ = ["has_type", "record_from", "wrong_fields"]

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
    hints = annotations_of(kind)
    for key, name in named.items():
        problem = misfit(content[key], hints[name], f"{key} of {subject}", JSON)
        if problem:
            raise ValueError(f"{problem}. {advice}")
    return kind(**{name: content[key] for key, name in named.items()})


def has_type(value: Any, hint: Any) -> bool:
    """Checks a value of JSON against a type annotation, see `ovss.io.annotations.misfit`.

    >>> has_type({"a": 1}, dict[str, int]), has_type(True, int), has_type(None, str | None)
    (True, False, True)
    """
    return not misfit(value, hint, "")


def wrong_fields(content: Mapping[str, Any], hints: Mapping[str, Any]) -> list[str]:
    """Keys that a JSON object lacks, or whose value has another type.

    Args:
        content: object.
        hints: type annotation of each key; other keys are not looked at.

    >>> wrong_fields({"a": 1, "b": "x"}, {"a": int, "b": int, "c": int})
    ['b', 'c']
    """
    return [k for k, hint in hints.items() if k not in content or not has_type(content[k], hint)]
