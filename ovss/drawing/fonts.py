"""Fonts that have the glyphs of a text: bundled ones, those of the system, those of an extra."""

from __future__ import annotations

import importlib.util
import io
import os
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

from ovss.io.json_text import utf8_text
from ovss.io.regular import open_regular

from .system_fonts import fontconfig_fonts, installed_fonts

__all__ = ["FONT_VARIABLE", "Face", "displayable", "ensure_font", "faces_of", "load_face"]

FONT_VARIABLE = "OVSS_FONT"
"""Environment variable with the path of a font file that is tried before all others."""

FONT_PACKAGES = ("manimgx_fonts", "noto_cjk_sans_otc")
"""Packages of the extra ``fonts``: Noto Sans for most scripts, and Noto Sans CJK."""

FONT_ENDINGS = (".ttf", ".otf", ".ttc")
INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories of characters that need no glyph


class Face(NamedTuple):
    """One font of a file; an empty path is the default font of Pillow."""

    path: str
    number: int = 0


DEFAULT_FACE = Face("")


def ensure_font() -> None:
    """Checks the font that the environment names.

    Raises:
        ValueError: `FONT_VARIABLE` names no font file.
    """
    next(_candidates(frozenset()))
    for face in _faces_in(os.environ.get(FONT_VARIABLE, "")):
        _glyphs(face)


@lru_cache(maxsize=256)
def load_face(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Loads a font at a size in pixels."""
    if face == DEFAULT_FACE:
        return ImageFont.load_default(size)  # type: ignore[return-value]
    return ImageFont.truetype(face.path, size, index=face.number)


def faces_of(text: str) -> list[tuple[str, Face]] | None:
    """Splits a text into runs that one font can draw, each with its font.

    A font that has all glyphs of the text is preferred, because scripts that are written from right
    to left or that join their letters must not be cut.

    Returns:
        Runs in the order of the text; None if no font has some glyph.

    Raises:
        ValueError: `FONT_VARIABLE` names no font file.
    """
    if text.isascii() and not os.environ.get(FONT_VARIABLE):
        return [(text, DEFAULT_FACE)]
    needed = frozenset(c for c in text if unicodedata.category(c) not in INVISIBLE)
    for face in _candidates(needed):
        if needed <= _glyphs(face):
            return [(text, face)]
    runs: list[tuple[str, Face]] = []
    for character in text:
        face = runs[-1][1] if runs else DEFAULT_FACE
        if character in needed and character not in _glyphs(face):
            found = _face_of(character)
            if found is None:
                return None
            face = found
        if runs and runs[-1][1] == face:
            runs[-1] = (runs[-1][0] + character, face)
        else:
            runs.append((character, face))
    return runs


@lru_cache(maxsize=4096)
def displayable(text: str, fallback: str) -> str:
    """Text that the available fonts can draw: never one that would show empty boxes.

    Args:
        text: text to draw.
        fallback: text of plain letters for a text that cannot be drawn, not even without accents.
    """
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in utf8_text(text))
    text = " ".join(text.split())
    if text.isascii() or faces_of(text) is not None:
        return text
    _warn_once()
    letters = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in letters if not unicodedata.combining(c))
    return plain if plain.strip() and faces_of(plain) is not None else fallback


@lru_cache(maxsize=1)
def _warn_once() -> None:
    warnings.warn(
        "No font on this machine has the letters of some category names, so that drawings show "
        "'category N' with the index of the category instead. Install fonts with "
        f"`pip install 'ovss[fonts]'`, or set {FONT_VARIABLE} to the path of a font file",
        stacklevel=3,
    )


def _candidates(needed: frozenset[str]) -> Iterator[Face]:
    """Fonts in the order in which they are tried; costly searches come last."""
    chosen = os.environ.get(FONT_VARIABLE)
    if chosen:
        if not os.path.isfile(chosen):
            raise ValueError(f"{FONT_VARIABLE} must be the path of a font file, got {chosen!r}")
        yield from _faces_in(chosen)
    yield DEFAULT_FACE
    if all(c.isascii() for c in needed):
        return
    yield from _matplotlib_faces()
    yield from (Face(*found) for found in fontconfig_fonts("".join(sorted(needed))))
    yield from _package_faces()
    for path in installed_fonts():
        yield from _faces_in(path)


@lru_cache(maxsize=1024)
def _face_of(character: str) -> Face | None:
    needed = frozenset(character)
    return next((face for face in _candidates(needed) if character in _glyphs(face)), None)


@lru_cache(maxsize=1024)
def _glyphs(face: Face) -> frozenset[str]:
    """Characters that a font has a glyph for; empty for a file that is not a usable font."""
    from fontTools.ttLib import TTFont  # installed with matplotlib

    source: str | io.BytesIO = face.path
    if face == DEFAULT_FACE:
        default = load_face(face, 16).path
        if not isinstance(default, io.BytesIO):  # Pillow without FreeType: its small bitmap font
            return frozenset(map(chr, range(32, 127)))
        source = io.BytesIO(default.getvalue())
    try:
        with TTFont(source, fontNumber=face.number, lazy=True) as font:
            drawable = "glyf" in font or "CFF " in font or "CFF2" in font  # else bitmaps of a size
            return frozenset(map(chr, font.getBestCmap() or ())) if drawable else frozenset()
    except Exception as error:  # fontTools has many errors for damaged files
        if face.path and face.path == os.environ.get(FONT_VARIABLE):
            raise ValueError(
                f"{FONT_VARIABLE} is not a font file: {face.path} ({error})"
            ) from error
        return frozenset()


@lru_cache(maxsize=1024)
def _faces_in(path: str) -> tuple[Face, ...]:
    if not path.lower().endswith((".ttc", ".otc")):
        return (Face(path),) if path else ()
    try:
        with open_regular(path) as file:
            head = file.read(12)
    except OSError:
        return ()
    count = int.from_bytes(head[8:12], "big") if head[:4] == b"ttcf" else 1
    return tuple(Face(path, number) for number in range(min(count, 64)))


@lru_cache(maxsize=1)
def _matplotlib_faces() -> tuple[Face, ...]:
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return ()
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return (Face(str(path)),) if path.is_file() else ()


@lru_cache(maxsize=1)
def _package_faces() -> tuple[Face, ...]:
    faces: list[Face] = []
    for name in FONT_PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        for path in sorted(
            Path(found.origin).parent.iterdir(), key=lambda p: (len(p.name), p.name)
        ):
            if path.suffix.lower() in FONT_ENDINGS and "italic" not in path.name.lower():
                faces += _faces_in(str(path))
    return tuple(faces)
