"""Kinds of files by their first bytes, for messages about files that are not images."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from .regular import open_regular

__all__ = ["head_of", "reason_of_content", "reason_of_error"]


def head_of(file: Path | io.BytesIO, size: int = 512) -> bytes:
    """First bytes of a file."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()[:size]
    with open_regular(file) as stream:
        head: bytes = stream.read(size)
        return head


def reason_of_error(error: Exception) -> str:
    """Reason that a reader of images gives for a file, or a general one.

    Readers raise nearly anything on damaged files. What Python says of its own types, such as
    ``invalid literal for int()``, tells a user nothing about the file.

    >>> reason_of_error(OSError("image file is truncated")), reason_of_error(KeyError(3))
    ('image file is truncated', 'its content is damaged')
    """
    if isinstance(error, OSError | SyntaxError | Image.DecompressionBombError):
        return getattr(error, "strerror", None) or str(error) or "its content is damaged"
    return "its content is damaged"


def reason_of_content(head: bytes) -> str:
    """Reason why a file is not an image that can be read, from its first bytes.

    >>> reason_of_content(b"<!DOCTYPE html><html>")
    'a web page (HTML); expected an image'
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = {
        "a web page (HTML); expected an image": text.startswith((b"<!doctype html", b"<html")),
        "a Git LFS pointer. Fetch the file itself with git lfs pull": text.startswith(
            b"version https://git-lfs"
        ),
        "an SVG drawing. Convert it to PNG": b"<svg" in text,
        "a PDF document. Convert its page to PNG": text.startswith(b"%pdf"),
        "a HEIC image, which Pillow cannot read. Convert it to JPEG": head[4:12]
        in (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"),
        "a video; expected an image": head[4:8] == b"ftyp"
        or head.startswith(b"\x1aE\xdf\xa3")
        or (head[:4], head[8:12]) == (b"RIFF", b"AVI "),
        "a NumPy file. Load it with numpy.load and pass the array": head.startswith(b"\x93NUMPY"),
        "an archive. Unpack it": head.startswith((b"PK\3\4", b"\x1f\x8b")),
        "empty; expected an image": not head,
    }
    return next(
        (kind for kind, holds in kinds.items() if holds), "not an image that Pillow can read"
    )
