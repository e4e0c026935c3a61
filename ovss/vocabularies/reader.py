"""Reader of vocabularies and prompt templates: by registered name, from a list or from a file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ovss.io.arguments import typed_arguments
from ovss.io.strict_json import parse_json
from ovss.io.text import read_utf8, text_lines

from .checks import check_names
from .tables import read_class_table
from .vocabulary import Vocabulary

__all__ = ["list_templates", "list_vocabularies", "load_names", "load_templates", "load_vocabulary"]

DATA = Path(__file__).parent / "data"
MARK = re.compile(r"\s*\[(seen|unseen)\]\s*$", re.IGNORECASE)
"""Mark that a line of a dataset's class file may end with."""
NOT_A_CLASS = "__ignore__"
"""Line of LabelMe's labels.txt for pixels that are not labelled; the next line has value 0."""
MINI = ("mini_20", "mini_150", "mini_556")
MINI_SEEN = tuple(f"{name}_seen" for name in MINI)


def list_vocabularies() -> tuple[str, ...]:
    """Lists the registered vocabularies: official class lists, then those of the mini world.

    Names that end in ``_seen`` hold the categories that training scenes of the mini world show.
    """
    return (*sorted(path.stem for path in (DATA / "names").glob("*.json")), *MINI, *MINI_SEEN)


def list_templates() -> tuple[str, ...]:
    """Lists the registered lists of prompt templates."""
    return tuple(sorted(path.stem for path in (DATA / "templates").glob("*.json")))


@typed_arguments
def load_vocabulary(
    source: str | Path | Sequence[str],
    templates: str | Sequence[str] = "single",
    synonyms: str = "first",
    duplicates: str = "error",
) -> Vocabulary:
    """Builds a checked vocabulary from `load_names` and `load_templates`.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load_names` and `load_templates`.
    """
    names = load_names(source, synonyms=synonyms, duplicates=duplicates)
    return Vocabulary(names, load_templates(templates), synonyms)


@typed_arguments
def load_names(
    source: str | Path | Sequence[str], synonyms: str = "first", duplicates: str = "error"
) -> tuple[str, ...]:
    """Loads T class names, stripped and checked.

    In every form ``"sofa, couch"`` is one category with two synonyms.

    Args:
        source: registered name (`list_vocabularies`), list of names, or path of a file. A text
            file is UTF-8 with one category per line; ``#`` in the first column starts a comment,
            and a mark ``[seen]`` or ``[unseen]`` at the end of a line is dropped. Of a table with
            a header (`ovss.vocabularies.tables`) the names are read, in the order of the label
            values. A ``.json`` file holds a list of strings.
        synonyms: rule of comparison for duplicates, see `find_duplicates`.
        duplicates: ``"error"`` or ``"warn"``. Registered lists are exempt because their datasets
            define them so: ten categories of ade20k_847 repeat the first synonym of another.

    Raises:
        FileNotFoundError: the path does not exist.
        TypeError: a name is not a string.
        ValueError: an unknown registered name, no names, a blank name, a duplicate, or a file that
            is not text. Messages about files give the line.
    """
    if isinstance(source, (str, Path)):
        if isinstance(source, str) and source in list_vocabularies():
            return _registered_names(source)
        names, places = _read_file(_existing_file(source))
        return check_names(names, str(source), places, synonyms, duplicates)
    return check_names(source, "the vocabulary", None, synonyms, duplicates)


@typed_arguments
def load_templates(source: str | Sequence[str]) -> tuple[str, ...]:
    """Loads P prompt templates, each with one ``{}`` for the class name.

    Args:
        source: registered name (`list_templates`) or the templates themselves.

    Raises:
        TypeError: a template is not a string.
        ValueError: an unknown name, no templates, or a template without exactly one ``{}``.
    """
    if isinstance(source, str):
        if source in list_templates():
            return _registered_templates(source)
        if "{}" in source:
            raise ValueError(
                f"Expected a list of templates, got a string. Pass it as a list: "
                f"templates=[{source!r}]"
            )
        raise ValueError(_unknown("list of templates", source, list_templates()))
    templates = tuple(source)
    for template in templates:
        if not isinstance(template, str):
            raise TypeError(f"A prompt template must be a string, got {template!r}")
        if template.count("{}") != 1:
            raise ValueError(f"A prompt template needs exactly one '{{}}', got {template!r}")
    if not templates:
        raise ValueError(
            "Expected at least one prompt template, got none. Give one such as 'a photo of a {}.'"
        )
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
        raise FileNotFoundError(f"Cannot read the vocabulary {str(path)!r}: {_missing(path)}")
    hint = " To pass several names, use a list, not one string." if "," in str(source) else ""
    raise ValueError(_unknown("vocabulary", str(source), list_vocabularies()) + hint)


def _missing(path: Path) -> str:
    """Reason why a path is not a vocabulary file."""
    if "\0" in str(path):
        return "a path cannot hold a NUL character"
    if path.is_dir():
        return "it is a folder"
    return "it is not a regular file" if path.exists() else "the file does not exist"


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"Unknown {kind} {name!r}. {hint}Known: {', '.join(known)}."


def _read_file(path: Path) -> tuple[list[str], list[str]]:
    """Reads the names in a file and their positions, for messages."""
    text = read_utf8(path)
    if path.suffix == ".json":
        try:
            names = parse_json(text)
        except ValueError as error:
            raise ValueError(f"{path} {error}. Correct the file") from None
        if not isinstance(names, list):
            raise ValueError(f"{path} must hold a list of names, got {type(names).__name__}")
        return names, [f"name {index}" for index in range(len(names))]
    table = read_class_table(text, str(path))
    if table is not None:
        rows = sorted(table.rows, key=lambda row: row.value or 0)
        return [MARK.sub("", row.name) for row in rows], [f"line {row.line}" for row in rows]
    lines = [
        (MARK.sub("", line), f"line {number}")
        for number, line in enumerate(text_lines(text), 1)
        if not line.startswith("#") and line.strip() != NOT_A_CLASS
    ]
    return [line for line, _ in lines], [place for _, place in lines]
