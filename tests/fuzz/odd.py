"""Odd values: bytes that are damaged, texts, numbers, and JSON that is changed key by key."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

TEXTS = (
    "", " ", "\t", "a\nb", "\x1b[31mred\x1b[0m", "\u202egnp", "e\u0301", "\U0001f431", "猫",
    "--", "..", "/", "~", "%s%n", "{}", "{0!r:>{1}}", "$HOME", "`id`", "a" * 300, "x" * 10_000,
    "None", "nan", "-inf", "0x10", "1e999", "9" * 400, "-1", "0", "1_000", "\u0663", "\u00b2",
    "[", "[[1,2]", "{'a': 1", "'", '"', "a=b=c", "=", ",", ",,,", "|", "a|", "|a", "a||b",
    "\ufeffa",
    "<b>x</b>", "a;b", "&&", "\\", "*", "?", "[a-", "\u200b", "\x07", "True", "()", "{1: 2}",
)  # fmt: skip
"""Texts that a shell can pass."""

NUMBERS = ("0", "-1", "1.5", "nan", "inf", "-inf", "1e999", "9" * 400, "0x10", "1_0", "", " ", "x")
"""Texts in the place of a positive integer; none is one, apart from its size."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 10**30, float("nan"), float("inf"), "", "text", "a\nb",
    "x" * 5000, [], {}, [None], [[]], {"a": None}, ["a", 1], "\ud800", "\x00", -0.0, 2**63,
)  # fmt: skip
"""Values of JSON and of Python in the place of others."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one kind of damage: cut, flipped, overwritten, inserted, doubled or removed."""
    kind, size = rng.randrange(7), max(len(data), 1)
    start, length = rng.randrange(size), rng.randrange(1, 64)
    if kind == 0:
        return data[:start]
    if kind == 1:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            position = rng.randrange(size)
            changed[position : position + 1] = bytes([changed[position] ^ 1 << rng.randrange(8)])
        return bytes(changed)
    if kind == 2:
        return data[:start] + bytes(length) + data[start + length :]
    if kind == 3:
        return data[:start] + rng.randbytes(length) + data[start:]
    if kind == 4:
        return data[:start] + data
    if kind == 5:
        return data[:start] + data[start + length :]
    return data[:start] + b"\xff" * length + data[start + length :]


def places_of(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in nested dicts and lists, the outermost first."""
    yield path
    items = ()
    if isinstance(content, dict):
        items = tuple(content.items())
    elif isinstance(content, list):
        items = tuple(enumerate(content))
    for key, value in items:
        yield from places_of(value, (*path, key))


def with_value(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Copy of nested content with another value at a path."""
    if not path:
        return value
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def without(content: Any, path: tuple[Any, ...]) -> Any:
    """Copy of nested content that lacks the value at a path, which is not the outermost."""
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return changed


def as_json(content: Any) -> str:
    """JSON text, with NaN and Infinity as Python writes them."""
    return json.dumps(content)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    """Text of deeply nested brackets."""
    return opening * depth + closing * depth
