"""Vocabularies and prompt templates by name, from a list or from a file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ovss.structures import Vocabulary

from .checks import check_names

__all__ = ["list_templates", "list_vocabularies", "load_names", "load_templates", "load_vocabulary"]

DATA = Path(__file__).parent / "data"
MARK = re.compile(r"\s*\[(seen|unseen)\]\s*$", re.IGNORECASE)
"""What a data set's class file may say at the end of a line."""
MINI = ("mini_20", "mini_150", "mini_556")
MINI_SEEN = tuple(f"{name}_seen" for name in MINI)


def list_vocabularies() -> tuple[str, ...]:
    """Every registered vocabulary: the official class lists, then the mini world's, with the
    part of each that its training scenes show."""
    return (*sorted(path.stem for path in (DATA / "names").glob("*.json")), *MINI, *MINI_SEEN)


def list_templates() -> tuple[str, ...]:
    """Every registered list of prompt templates."""
    return tuple(sorted(path.stem for path in (DATA / "templates").glob("*.json")))


def load_vocabulary(
    source: str | Path | Sequence[str],
    templates: str | Sequence[str] = "single",
    synonyms: str = "first",
    duplicates: str = "error",
) -> Vocabulary:
    """A checked vocabulary: `load_names` under the prompts of `load_templates`.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_names` and `load_templates`.
    """
    names = load_names(source, synonyms=synonyms, duplicates=duplicates)
    return Vocabulary(names, load_templates(templates), synonyms)


def load_names(
    source: str | Path | Sequence[str], synonyms: str = "first", duplicates: str = "error"
) -> tuple[str, ...]:
    """T category names, stripped and checked.

    Args:
        source: a registered name (`list_vocabularies`); a list of names; or the path of a UTF-8
            text file with one category a line, where ``#`` in the first column starts a comment
            and a mark ``[seen]`` or ``[unseen]`` at the end is left out, or of a ``.json`` file
            with a list of strings. In all of them ``"sofa, couch"`` is one
            category with two synonyms.
        synonyms: the rule under which duplicates are looked for, see `find_duplicates`.
        duplicates: ``"error"`` or ``"warn"``. Registered lists are passed as their data sets define
            them: ade20k_847 has ten categories that repeat another's first synonym.

    Raises:
        FileNotFoundError: a path that is not there.
        TypeError: a name that is no string.
        ValueError: an unknown registered name; no names, a blank name or a duplicate; a file that
            is no text. Files are named with the line.
    """
    if isinstance(source, (str, Path)):
        if isinstance(source, str) and source in list_vocabularies():
            return _registered_names(source)
        names, places = _read_file(_existing_file(source))
        return check_names(names, str(source), places, synonyms, duplicates)
    return check_names(source, "the vocabulary", None, synonyms, duplicates)


def load_templates(source: str | Sequence[str]) -> tuple[str, ...]:
    """P prompt templates, each with one ``{}`` for the word.

    Args:
        source: a registered name (`list_templates`) or the templates themselves.

    Raises:
        TypeError: a template that is no string.
        ValueError: an unknown name, no template, or one without exactly one ``{}``.
    """
    if isinstance(source, str):
        if source in list_templates():
            return _registered_templates(source)
        if "{}" in source:
            raise ValueError(f"give templates as a list: templates=[{source!r}]")
        raise ValueError(_unknown("list of templates", source, list_templates()))
    templates = tuple(source)
    for template in templates:
        if not isinstance(template, str):
            raise TypeError(f"a prompt template must be a string, got {template!r}")
        if template.count("{}") != 1:
            raise ValueError(f"a prompt template needs exactly one '{{}}', got {template!r}")
    if not templates:
        raise ValueError("no prompt templates: at least one is needed, such as 'a photo of a {}.'")
    return templates


@cache
def _registered_names(name: str) -> tuple[str, ...]:
    if name in MINI:
        from ovss.mini_world import names

        return names(name)
    if name in MINI_SEEN:
        from ovss.mini_world import seen_names

        return seen_names(name.removesuffix("_seen"))
    return tuple(json.loads((DATA / "names" / f"{name}.json").read_text("utf-8"))["names"])


@cache
def _registered_templates(name: str) -> tuple[str, ...]:
    return tuple(json.loads((DATA / "templates" / f"{name}.json").read_text("utf-8"))["templates"])


def _existing_file(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    looks_like_path = isinstance(source, Path) or "/" in source or "\\" in source or path.suffix
    if looks_like_path:
        kind = "a folder" if path.is_dir() else "no file there"
        raise FileNotFoundError(f"cannot read the vocabulary {str(path)!r}: {kind}")
    hint = (
        "" if "," not in str(source) else " Several names in one string are not split: pass a list."
    )
    raise ValueError(_unknown("vocabulary", str(source), list_vocabularies()) + hint)


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"no {kind} is called {name!r}. {hint}Known: {', '.join(known)}."


def _read_file(path: Path) -> tuple[list[str], list[str]]:
    """The names in a file and where each one stands."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None
    if path.suffix == ".json":
        try:
            names = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        if not isinstance(names, list):
            raise ValueError(f"{path}: expected a list of names, got {type(names).__name__}")
        return names, [f"name {index}" for index in range(len(names))]
    lines = [
        (MARK.sub("", line), f"line {number}")
        for number, line in enumerate(text.rstrip().splitlines(), 1)
        if not line.startswith("#")
    ]
    return [line for line, _ in lines], [place for _, place in lines]
