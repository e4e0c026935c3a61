"""Text of names and text files: characters that a line cannot show, lines, and UTF-8."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from .regular import open_regular

__all__ = ["MAX_TEXT_BYTES", "control_character", "read_utf8", "text_lines", "visible"]

MAX_TEXT_BYTES = 64 << 20
"""Largest text file that is read as a list of names."""

_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_LINE_END = re.compile(r"\r\n|\n|\r")


def control_character(text: str) -> str | None:
    r"""First character that does not belong in a name, escaped; None if there is none.

    These are control characters except the tab, line separators, halves of surrogate pairs and
    marks that change the direction of the text after them.

    >>> control_character("sky\nroad"), control_character("ciel étoilé")
    ('\\n', None)
    """
    if text.isprintable():  # the usual case, fast
        return None
    return next((_escaped(c) for c in text if c != "\t" and _is_hidden(c)), None)


def visible(text: str) -> str:
    r"""Text on one line, in which characters that a line cannot show are escaped.

    >>> visible("sky\nroad\x1b[2J")
    'sky\\nroad\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if _is_hidden(c) else c for c in text)


def text_lines(text: str) -> list[str]:
    r"""Lines of a text, without the empty ones at its end.

    `str.splitlines` also splits at rare characters such as U+2028, which editors do not count.

    >>> text_lines("sky\r\n\nroad\u2028side\n\n")
    ['sky', '', 'road\u2028side']
    """
    return _LINE_END.split(text.rstrip()) if text.strip() else []


def read_utf8(path: str | os.PathLike[str], largest: int = MAX_TEXT_BYTES) -> str:
    """Reads a text file, UTF-8 with or without a byte-order mark.

    Args:
        path: path of the file.
        largest: largest number of bytes that is read.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the path is a folder, or the file is too large, binary or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"Expected a text file, but {path} is a folder. Name a file in it")
    with open_regular(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(
            f"{path} is too large for a list of names: expected at most {largest:,} bytes, found "
            f"{path.stat().st_size:,}. Check that it is the right file"
        )
    encoding = _BOMS.get(content[:2])
    if encoding:
        raise ValueError(f"{path} is not UTF-8 text but {encoding}. Save it as UTF-8")
    zero = content.find(b"\0")
    if zero >= 0:
        raise ValueError(
            f"{path} is not UTF-8 text, because byte {zero} is zero. Name a text file in UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8"
        ) from None


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL or character in _DIRECTION


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
