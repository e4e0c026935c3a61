"""Reader of JSON that refuses what Python's own reader lets pass."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["MAX_INTEGER", "decoded_json", "parse_json"]

MAX_INTEGER = (1 << 63) - 1
"""Largest integer in either direction; larger ones are not counts of anything."""


def parse_json(text: str | bytes) -> Any:
    """Parses JSON text.

    `json.loads` accepts NaN and Infinity, which are not JSON, keeps the last of two equal keys,
    turns 1e999 into infinity, and raises a RecursionError on deep brackets.

    Args:
        text: content of a file; bytes are UTF-8.

    Raises:
        ValueError: the text is not JSON, or has one of these faults. The message is the end of a
            sentence whose subject is the file.

    >>> parse_json('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    return _decoded(
        text,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_float=_float,
        parse_int=_integer,
    )


def decoded_json(
    text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Decodes JSON as `json.loads` does, NaN and large numbers included, for files of other tools.

    Args:
        text: content of a file; bytes are UTF-8.
        pairs: function that makes an object of its pairs; None: dict.

    Raises:
        ValueError: the text is not JSON. The message is the end of a sentence whose subject is the
            file.
    """
    return _decoded(text, object_pairs_hook=pairs)


def _decoded(text: str | bytes, **hooks: Any) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, **hooks)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is truncated or not JSON ({error})") from None
    except RecursionError:
        raise ValueError("has brackets that nest too deeply to be read") from None
    except ValueError as error:
        if "int_max_str_digits" not in str(error):  # of a hook
            raise
        raise ValueError("holds an integer of more than 4,300 digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"has the key {twice[:60]!r} twice in one object")
    return content


def _constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is not a number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds the number {text[:40]}, which is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -MAX_INTEGER <= int(text) <= MAX_INTEGER:
        raise ValueError(f"holds the number {text[:40]}, which is too large")
    return int(text)
