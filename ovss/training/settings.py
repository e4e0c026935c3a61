"""Settings of a config as a flat table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["flat_settings"]


def flat_settings(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of nested values with their dotted keys.

    Tuples become lists, and None is left out.

    Args:
        value: dicts and lists of values.
        key: dotted key of `value` itself.

    >>> dict(flat_settings({"a": {"b": 1}, "c": [{"d": 2}], "e": (3, 4), "f": None}))
    {'a.b': 1, 'c.0.d': 2, 'e': [3, 4]}
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat_settings(inner, f"{key}.{name}" if key else str(name))
    elif _holds_blocks(value):
        for index, inner in enumerate(value):
            yield from flat_settings(inner, f"{key}.{index}")
    elif value is not None:
        yield key, list(value) if isinstance(value, tuple) else value


def _holds_blocks(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(each, Mapping) for each in value)
