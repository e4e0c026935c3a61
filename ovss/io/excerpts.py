r"""Values and messages in the length and the characters that a line of a terminal can hold."""

from __future__ import annotations

import re
import reprlib
from typing import Any

__all__ = ["excerpt", "one_line"]

_LONGEST = 1200
"""Characters from which on a message is shortened."""

_LONG_PART = re.compile(r"\S{200,}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def excerpt(value: Any, most: int = 80) -> str:
    """Short `repr` of a value of a file or a user, for messages.

    Args:
        value: value of any size and depth.
        most: largest number of characters.

    >>> excerpt("sky"), excerpt("x" * 5000, 20), excerpt([[1, [2]], "a"])
    ("'sky'", "'xxxxxxx...xxxxxxxx'", "[[1, [2]], 'a']")
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 4, most, most, 40
    try:
        text = short.repr(value)
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return f"a value of {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def one_line(text: str) -> str:
    r"""Text on one line, with escapes for control characters, and without the middle of long parts.

    Args:
        text: message that may quote what a user or a file has written.

    >>> one_line("a\nb \x1b[31m"), len(one_line("x" * 5000)) < 300
    ('a b \\x1b[31m', True)
    """
    text = _CONTROL.sub(_escaped, " ".join(text.split()))
    if len(text) > _LONGEST:
        text = _LONG_PART.sub(lambda part: f"{part[0][:120]}...{part[0][-60:]}", text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 300]} ... {text[-290:]}"
    return text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
