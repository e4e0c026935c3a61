"""Font files that the system has installed, found by fontconfig or in its known folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["fontconfig_fonts", "installed_fonts"]

MOST_FILES = 600  # files that are opened at most in search of a glyph
SECONDS = 10
UNUSABLE = re.compile(r"lastresort|adobeblank|color|emoji|braille|keycap", re.IGNORECASE)
"""Fonts whose glyphs are boxes or of fixed size."""

PREFERRED = re.compile(
    r"notosans|pingfang|hiragino.*w3|arialunicode|arial unicode|msyh|yugoth|meiryo|malgun|nirmala|"
    r"segoeui|geeza|kohinoor|sukhumvit|wqy|droidsansfallback|sourcehan|unifont",
    re.IGNORECASE,
)
"""Fonts with many scripts or for one script that the common fonts lack."""

PLAIN = re.compile(r"bold|italic|oblique|black|light|thin|mono|serif|condensed", re.IGNORECASE)
"""Styles that are second choice."""


@lru_cache(maxsize=1024)
def fontconfig_fonts(characters: str) -> tuple[tuple[str, int], ...]:
    """Font files that have all the characters, each with its number in the file, best first.

    Empty where the program ``fc-list`` is missing.
    """
    program = shutil.which("fc-list")
    if program is None or not characters:
        return ()
    codes = " ".join(f"{ord(c):x}" for c in characters)
    try:
        answer = subprocess.run(
            [program, f":charset={codes}", "-f", "%{file}\\t%{index}\\n"],
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = set()
    for line in os.fsdecode(answer.stdout).splitlines():
        path, _, number = line.partition("\t")
        if path.lower().endswith((".ttf", ".otf", ".ttc", ".otc")) and number.isdigit():
            found.add((path, int(number) & 0xFFFF))  # the upper half numbers an instance
    return tuple(sorted(found, key=lambda face: (_rank(face[0]), face)))[:MOST_FILES]


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """Font files in the folders where Linux, macOS and Windows keep them, the best guesses first.

    Empty where fontconfig can be asked, because it knows these folders.
    """
    if shutil.which("fc-list") is not None:
        return ()
    found: list[str] = []
    for folder in _folders():
        for place, _, names in os.walk(folder):
            found += [
                os.path.join(place, name)
                for name in names
                if name.lower().endswith((".ttf", ".otf", ".ttc", ".otc"))
            ]
    usable = [path for path in found if not UNUSABLE.search(os.path.basename(path))]
    return tuple(sorted(usable, key=lambda path: (_rank(path), path)))[:MOST_FILES]


def _folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", str(home / "AppData" / "Local"))
        windows = os.environ.get("WINDIR", r"C:\Windows")
        return [Path(windows) / "Fonts", Path(local) / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".fonts", home / ".local" / "share" / "fonts"]


def _rank(path: str) -> int:
    name = os.path.basename(path)
    if UNUSABLE.search(name):
        return 9
    styled = PLAIN.search(name) is not None
    return 2 * (PREFERRED.search(name) is None) + styled
