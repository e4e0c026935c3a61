"""Values and messages in the length and the characters that a line of a terminal can hold.

A message that quotes a value whole is as long as the value, and Python's own text of an object says
nothing to the reader of a config.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .text import visible

__all__ = ["MAX_LISTED", "MAX_SHOWN", "excerpt", "one_line", "shortened", "some_of"]

MAX_SHOWN = 80
"""Number of characters of a value that messages show."""

MAX_LISTED = 5
"""Number of names that messages list."""

_MAX_NAME = 150
_MAX_MESSAGE = 1200
_LONG_PART = re.compile(r"\S{200,}")


def excerpt(value: Any, longest: int = MAX_SHOWN) -> str:
    """Text of a value for a message: its literal, cut if it is long.

    Args:
        value: value of any type.
        longest: number of characters that are kept.

    >>> excerpt("relu"), excerpt([1] * 100, 9), excerpt(print), excerpt(object())
    ("'relu'", '[1, 1, 1,...', 'the function print', 'a value of type object')
    """
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    try:
        text = repr(value)
    except Exception:  # too deep, too many digits, or the value's own method fails
        return f"a value of type {type(value).__qualname__}, which cannot be shown"
    if text.startswith("<"):
        name = getattr(value, "__name__", None) if callable(value) else None
        return f"the function {name}" if name else f"a value of type {type(value).__qualname__}"
    return shortened(text, longest)


def shortened(text: str, longest: int = MAX_SHOWN) -> str:
    """Text of a user for a message, cut if it is long, with control characters escaped.

    >>> shortened("model.decoder"), shortened("model.decoder", 5)
    ('model.decoder', 'model...')
    """
    text = visible(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def some_of(names: Sequence[str], most: int = MAX_LISTED) -> str:
    """Text that lists the first few names, cut if they are long, and counts the rest.

    >>> some_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    listed = ", ".join(shortened(name, _MAX_NAME) for name in names[:most])
    return listed + (f" and {rest} more" if rest > 0 else "")


def one_line(text: str) -> str:
    r"""Message on one line, with escapes for control characters; the middle of long parts is cut.

    Args:
        text: message that may quote what a user or a file has written.

    >>> one_line("a\nb \x1b[31m"), len(one_line("x" * 5000)) < 300
    ('a b \\x1b[31m', True)
    """
    text = visible(" ".join(text.split()))
    if len(text) > _MAX_MESSAGE:
        text = _LONG_PART.sub(lambda part: f"{part[0][:120]}...{part[0][-60:]}", text)
    if len(text) > _MAX_MESSAGE:
        text = f"{text[: _MAX_MESSAGE - 300]} ... {text[-290:]}"
    return text
