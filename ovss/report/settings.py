"""Settings in which the config of one row differs from that of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ovss.benchmark.table_jobs import config_of
from ovss.io.excerpts import excerpt

__all__ = ["differing_settings", "stated_difference"]

_MISSING = object()


def differing_settings(full: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of `other` that `full` does not have; removed ones are None.

    A component of another type counts as one setting, its type.

    >>> dict(differing_settings({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}))
    {'a.c': 3}
    """
    if isinstance(full, Mapping) and isinstance(other, Mapping):
        if full.get("type") != other.get("type"):
            yield f"{key}.type" if key else "type", other.get("type")
            return
        for name in dict.fromkeys((*full, *other)):
            inner = f"{key}.{name}" if key else str(name)
            if name not in other:
                yield inner, None
            else:
                yield from differing_settings(full.get(name, _MISSING), other[name], inner)
    elif full is _MISSING or full != other:
        yield key, other


def stated_difference(full: str, row: str) -> str:
    """Sentence part that names the settings in which the model of a row differs from the full one.

    Args:
        full: name or path of the full config, with settings after commas.
        row: name or path of the row's config.

    Raises:
        FileNotFoundError: an unknown config.
    """
    blocks = [config_of(each).model.to_dict() for each in (full, row)]
    return ", ".join(f"{key}={_shown(value)}" for key, value in differing_settings(*blocks))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else excerpt(value, 40)
