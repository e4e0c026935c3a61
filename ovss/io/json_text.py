"""JSON text that every reader accepts: UTF-8 without NaN, infinity or undecodable bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["json_text", "utf8_text"]


def utf8_text(text: str) -> str:
    """Replaces what UTF-8 cannot encode, such as undecodable bytes of a path, by U+FFFD.

    >>> utf8_text("caf\\udce9.jpg") == "caf\\ufffd.jpg"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def json_text(value: Any, indent: int | None = 2) -> str:
    """Converts a value to JSON that ends with a line break; NaN and infinity become null.

    >>> json_text({"score": float("nan")}, indent=None)
    '{"score": null}\\n'
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return utf8_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {utf8_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
