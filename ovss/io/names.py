"""Names of inputs: kinds of files by their ending, and paths as printable text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = [
    "IMAGE_SUFFIXES",
    "STDIN",
    "VIDEO_SUFFIXES",
    "ImageError",
    "is_url",
    "is_video",
    "natural_key",
    "printable",
    "stem_of",
]

IMAGE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("avif", "bmp", "gif", "jfif", "jp2", "jpeg", "jpg", "pbm", "pgm", "png", "pnm")
    + ("ppm", "tga", "tif", "tiff", "webp")
)
"""Suffixes of the files that are read from a folder; a file passed by itself may have any name."""

VIDEO_SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts")
    + ("ogv", "webm", "wmv")
)
"""Suffixes of the files that are read as videos."""

STDIN = "-"
"""Name of the standard input among inputs."""

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


class ImageError(ValueError):
    """An image that cannot be used; the message names it and gives the reason."""


def printable(path: str | bytes | os.PathLike) -> str:
    r"""Text of a path that can be printed and encoded.

    Bytes that are not UTF-8 and control characters are escaped.

    >>> printable(b"caf\xe9.png"), printable("two\nlines.png"), printable("café.png")
    ('caf\\xe9.png', 'two\\nlines.png', 'café.png')
    """
    name = os.fspath(path)
    try:
        text = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # characters that no path has, which are escaped below
        text = str(name)
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def is_url(source: object) -> bool:
    """True for text with a scheme, such as ``https://host/photo.jpg``; the scheme may be any.

    >>> is_url("https://host/a.jpg"), is_url("C:/a.jpg"), is_url("a.jpg")
    (True, False, False)
    """
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def is_video(source: object) -> bool:
    """True for the path of a video, judged by its suffix."""
    if is_url(source) or not isinstance(source, str | os.PathLike):
        return False
    return Path(source).suffix.lower() in VIDEO_SUFFIXES


def stem_of(source: str | os.PathLike[str]) -> str:
    """Stem for the output files of an input: a path, an address or the standard input.

    >>> stem_of("in/cat.jpg"), stem_of("https://host/a/my%20dog.png?size=2"), stem_of("-")
    ('cat', 'my dog', 'stdin')
    """
    if source == STDIN:
        return "stdin"
    if not is_url(source):
        return Path(source).stem
    parts = urlsplit(os.fspath(source))
    name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or ""
    stem = Path(_NOT_IN_NAMES.sub("_", name)).stem.strip(". ")[:100]
    return stem or "image"


def natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int, str]]:
    """Sort key of a file name in which numbers are compared by value.

    >>> sorted(["frame10.png", "frame9.png"], key=natural_key)
    ['frame9.png', 'frame10.png']
    """
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
