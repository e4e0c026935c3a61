"""Finding inputs: files, folders, patterns and addresses become a list of images."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .names import IMAGE_SUFFIXES, STDIN, ImageError, is_url, printable
from .outputs import is_own_output

__all__ = ["Found", "find_images", "find_sources", "names_several"]

Source = Path | str


class Found(NamedTuple):
    """Inputs that were found.

    Args:
        sources: paths of files, and the text of addresses and of the standard input (``"-"``).
        skipped: outputs of earlier runs that folders and patterns contained.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Path, ...]


def find_sources(
    items: Iterable[str | os.PathLike[str]], suffixes: frozenset[str] = IMAGE_SUFFIXES
) -> Found:
    """Expands files, folders, patterns and addresses to a list without duplicates.

    A folder contributes the files directly inside it that have one of the suffixes, sorted by name.
    A pattern such as ``photos/**/*.jpg`` contributes the files it matches; its ending matches in
    any case. Folders and patterns leave out hidden files and outputs of earlier runs. A file that
    is named itself is used as it is. Nothing is read, so call this before slow work.

    Args:
        items: inputs; text may be an http or https address, or ``"-"`` for the standard input.
        suffixes: suffixes of files that folders and patterns contribute, in lower case.

    Raises:
        ImageError: files do not exist, a folder holds no such files, or a pattern matches none.
            The message lists every problem.
    """
    found, problems, missing = _collect(items, suffixes)
    if missing:
        names = ", ".join(map(printable, missing))
        problems.insert(0, f"{names}: no such file{'s' if len(missing) > 1 else ''}")
    if problems:
        raise ImageError("; ".join(problems))
    return found


def find_images(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expands files, folders and patterns to a list of files without duplicates.

    Differs from `find_sources` in two ways: a file that does not exist is kept, so that reading it
    reports the error, and addresses are not accepted.

    Raises:
        ImageError: a folder contains no images, a pattern matches none, or an input is an address.
    """
    found, problems, _ = _collect(sources, IMAGE_SUFFIXES)
    problems += [f"{s}: expected a file" for s in found.sources if not isinstance(s, Path)]
    if problems:
        raise ImageError("; ".join(problems))
    return [source for source in found.sources if isinstance(source, Path)]


def names_several(item: object) -> bool:
    """True for the path of a folder, or a pattern that is not the name of a file."""
    if not isinstance(item, str | os.PathLike) or is_url(item):
        return False
    return os.path.isdir(item) or _is_pattern(item)


def _is_pattern(item: str | os.PathLike[str]) -> bool:
    """True for a glob pattern that is not the name of a file."""
    return glob.has_magic(os.fspath(item)) and not os.path.lexists(item)


def _collect(
    items: Iterable[str | os.PathLike[str]], suffixes: frozenset[str]
) -> tuple[Found, list[str], list[Path]]:
    """Inputs, problems, and the files that do not exist, which are among the inputs."""
    sources: dict[str, Source] = {}
    skipped: dict[str, Path] = {}
    problems: list[str] = []
    missing: list[Path] = []
    for item in items:
        if "\0" in os.fspath(item):
            problems.append(f"{printable(item)}: a path cannot hold a NUL character")
            continue
        if isinstance(item, str) and (item == STDIN or is_url(item)):
            if is_url(item) and not item.lower().startswith(("http://", "https://")):
                problems.append(f"{printable(item)}: expected an http or https address")
            sources.setdefault(item, item)
            continue
        path = Path(item)
        if os.path.isdir(path):
            matches, problem = _in_folder(path, suffixes)
        elif _is_pattern(item):
            matches, problem = _in_pattern(os.fspath(item), suffixes)
        else:
            matches, problem = [path], ""
            missing += [path] * (not os.path.exists(path))
            skipped.pop(os.path.realpath(path), None)
            sources.setdefault(os.path.realpath(path), path)
            continue
        problems += [problem] * bool(problem)
        for match in matches:
            place = os.path.realpath(match)
            if place not in sources and is_own_output(match):
                skipped.setdefault(place, match)
            else:
                sources.setdefault(place, match)
    return Found(tuple(sources.values()), tuple(skipped.values())), problems, missing


def _in_folder(folder: Path, suffixes: frozenset[str]) -> tuple[list[Path], str]:
    try:
        files = sorted(path for path in folder.iterdir() if _is_wanted(path, suffixes))
    except OSError as error:
        return [], f"{printable(folder)}: cannot be read ({error.strerror})"
    return _checked(files, f"{printable(folder)}: found no {_kind(suffixes)} in this folder")


def _in_pattern(pattern: str, suffixes: frozenset[str]) -> tuple[list[Path], str]:
    matches = sorted(Path(p) for p in glob.glob(_any_case(pattern), recursive=True))
    files = [path for path in matches if path.is_file()]
    if not files:
        return [], f"{printable(pattern)}: no file matches this pattern"
    images = [path for path in files if path.suffix.lower() in suffixes]
    return _checked(
        images,
        f"{printable(pattern)}: no {_kind(suffixes)} among the {len(files)} files that match, such "
        f"as {printable(files[0].name)}",
    )


def _checked(files: list[Path], problem: str) -> tuple[list[Path], str]:
    return (files, "") if files else ([], problem)


def _kind(suffixes: frozenset[str]) -> str:
    return "images" if suffixes <= IMAGE_SUFFIXES else "images or videos"


def _is_wanted(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _any_case(pattern: str) -> str:
    """Pattern whose existing folders are literal and whose ending matches in any case.

    ``photos[1]/*.JPG`` stays in the folder ``photos[1]`` if there is one.
    """
    head, tail = os.path.split(pattern)
    while head and not os.path.isdir(head) and head != os.path.dirname(head):
        head, part = os.path.split(head)
        tail = os.path.join(part, tail)
    name, dot, suffix = tail.rpartition(".")
    if dot and re.fullmatch(r"[A-Za-z0-9]+", suffix):
        suffix = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in suffix)
    return os.path.join(glob.escape(head), name + dot + suffix)
