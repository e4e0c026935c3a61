"""The same content, the same digits: hashes of plain values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["content_hash", "short_hash"]


def content_hash(content: Any) -> str:
    """SHA-256 of plain values (mappings in any order, sequences, strings, numbers).

    What JSON does not know is taken by its text.

    >>> content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def short_hash(content: Any) -> str:
    """The first twelve hexadecimal digits."""
    return content_hash(content)[:12]
