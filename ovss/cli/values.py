"""Parses values on the command line: Python literals, plain text and comma lists.

Values are never evaluated as code.
"""

from __future__ import annotations

import argparse
import ast
import re
from typing import Any

_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_DEEPEST = 20
_CALL = re.compile(r"dict\s*\((.*)\)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}


def parse_value(text: str) -> Any:
    """Parses the value of ``KEY=VALUE``.

    Numbers, booleans and None are recognised, also inside brackets. ``a,b`` and ``[a, b]`` are
    lists, ``(a, b)`` is a tuple, ``{'k': 1}`` and ``dict(k=1)`` are dictionaries. Everything else
    is text, with or without quotes, including ``{}``, which is a prompt template.

    Raises:
        ValueError: brackets or quotes do not match, or brackets nest more than 20 deep.

    >>> parse_value("64"), parse_value("ViT-B-16"), parse_value("1,2"), parse_value("(512, 640)")
    (64, 'ViT-B-16', [1, 2], (512, 640))
    >>> parse_value("[dict(type=ClipTopK, k=10), {'type': 'KeepAll'}]")
    [{'type': 'ClipTopK', 'k': 10}, {'type': 'KeepAll'}]
    >>> parse_value("['a photo of a {}.', \\"an {}'s photo\\"]")
    ['a photo of a {}.', "an {}'s photo"]
    """
    text = text.strip()
    inner = text[1:-1].strip()
    if _is_quoted(text) and inner[:1] in ("(", "["):
        text = inner  # some shells keep the quotes around a list
    parts = [] if _is_quoted(text) or "," not in text else _split(text)
    if len(parts) > 1 or text.endswith(","):
        return [_element(part, 0) for part in parts]
    return _element(text, 0)


def _element(text: str, depth: int) -> Any:
    """Parses a value that is not a comma list without brackets."""
    if depth > _DEEPEST:
        raise ValueError(f"brackets nest more than {_DEEPEST} deep")
    if _is_quoted(text):
        return ast.literal_eval(text)
    call = _CALL.fullmatch(text)
    if call:
        return _pairs(call[1], "=", depth)
    if not _encloses(text) or text == "{}":
        return _scalar(text)
    if text[0] == "{":
        return _pairs(text[1:-1], ":", depth)
    items = [_element(item, depth + 1) for item in _split(text[1:-1])]
    return tuple(items) if text[0] == "(" else items


def _pairs(text: str, sign: str, depth: int) -> dict[Any, Any]:
    """Parses ``key: value`` or ``key=value`` items into a dictionary."""
    pairs = {}
    for item in _split(text):
        key, *rest = _split(item, sign, 1)
        if not rest or not rest[0]:
            raise ValueError(f"expected KEY{sign} VALUE in a dictionary, got {item!r}")
        name = key if sign == "=" else _element(key, depth + 1)
        if isinstance(name, (list, dict)):
            raise ValueError(f"a key of a dictionary must be text or a number, got {key!r}")
        pairs[name] = _element(rest[0], depth + 1)
    return pairs


def _scalar(text: str) -> Any:
    if text == "None":
        return None
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _is_quoted(text: str) -> bool:
    """True if the whole text is one quoted string."""
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        return False
    try:
        return isinstance(ast.literal_eval(text), str) and text[0] not in text[1:-1].replace(
            f"\\{text[0]}", ""
        )
    except (SyntaxError, ValueError):
        return False


def _encloses(text: str) -> bool:
    """True if the text starts with a bracket and ends with the matching one."""
    return len(text) > 1 and text[0] in _CLOSERS and text[-1] == _CLOSERS[text[0]]


def _split(text: str, sign: str = ",", most: int = -1) -> list[str]:
    """Splits a text at separators outside of brackets and quotes, and strips the parts.

    Args:
        text: content of brackets, or a list without brackets. A final comma adds no part.
        sign: separator.
        most: maximal number of splits, -1 for all.
    """
    parts, open_brackets, quote, start, before = [], [], "", 0, ""
    for index, char in enumerate(text):
        if quote:
            if char == quote and text[index - 1] != "\\":
                quote = ""
        elif char in "'\"" and before in ("", *"([{,:="):
            quote = char  # only at the start of an item: the apostrophe of `don't` is text
        elif char in _CLOSERS:
            open_brackets.append(_CLOSERS[char])
        elif char in _CLOSERS.values():
            if not open_brackets or open_brackets.pop() != char:
                raise ValueError(f"brackets do not match in {text!r}")
        elif char == sign and not open_brackets and most != 0:
            parts.append(text[start:index].strip())
            start, most = index + 1, most - 1
        before = char if char.strip() else before
    if open_brackets or quote:
        raise ValueError(f"{'a quote is' if quote else 'brackets are'} not closed in {text!r}")
    last = text[start:].strip()
    return [*parts, last] if last or sign != "," else parts


def positive_number(text: str) -> float:
    """Number above 0 for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is something else.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
