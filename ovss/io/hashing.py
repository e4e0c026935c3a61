"""Hashes of plain values; equal content gives equal hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["content_hash", "short_hash"]


def content_hash(content: Any) -> str:
    """SHA-256 of plain values: mappings in any order, sequences, strings and numbers.

    Values that JSON cannot represent are hashed by their `str`.

    >>> content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def short_hash(content: Any) -> str:
    """First twelve hexadecimal digits of `content_hash`."""
    return content_hash(content)[:12]
