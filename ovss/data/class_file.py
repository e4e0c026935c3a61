"""Reader of class files: names of label values and optional facts about the classes."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ovss.vocabularies import list_vocabularies, load_names
from ovss.vocabularies.checks import check_names
from ovss.vocabularies.reader import MARK, MINI, MINI_SEEN

from .class_facts import (
    HIGHEST,
    PALETTE_KEYS,
    WORDS_KEYS,
    ClassFacts,
    check_spelling,
    read_facts,
    read_marks,
)
from .files import read_text

CLASS_LIST_KEYS = ("classes", "names", "categories")
_BRACKETS = re.compile(r"\[\s*([^\]]*?)\s*\]\s*$")
_NUMBERED = re.compile(r"\s*\d+[\s:;,.)]+\S")


@dataclass(frozen=True)
class ClassFile:
    """Content of a class file.

    Args:
        path: path of the file.
        names: T class names; ``"sofa, couch"`` is one class with two synonyms.
        raw: label values of the classes.
        facts: optional facts about the classes.
        record: JSON object that contains the list of classes; empty if the file holds only a list.
    """

    path: Path
    names: tuple[str, ...]
    raw: tuple[int, ...]
    facts: ClassFacts
    record: Mapping[str, Any]

    @property
    def label_map(self) -> dict[int, int] | None:
        """Map from label values to class indices; None if they are equal."""
        if self.raw == tuple(range(len(self.raw))):
            return None
        return {value: index for index, value in enumerate(self.raw)}


class _Entry(NamedTuple):
    name: Any
    raw: int
    place: str
    record: Mapping[str, Any] = {}


def read_class_file(path: str | Path) -> ClassFile:
    """Reads a class file; docs/your_data.md shows the accepted forms.

    Args:
        path: path of a text or JSON file. A text file has one class per line in the order of the
            label values, with ``#`` in the first column for a comment and ``[seen]`` or
            ``[unseen]`` at the end of a line. A JSON file holds a list of names or of objects
            (``name``, ``synonyms``, ``seen``, ``color``, ``index``, ``words``), a map from label
            values to names or the inverse, or an object with one of these under ``classes`` and
            any keys of `read_facts`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an empty file, a blank name, duplicates, contradictory marks, or no list of
            classes. Messages give the file and the position.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Class file {path} does not exist")
    record: Mapping[str, Any] = {}
    if path.suffix.lower() == ".json":
        content = read_json(path)
        key = next((k for k in CLASS_LIST_KEYS if isinstance(content, dict) and k in content), None)
        record = content if key else {}
        entries = list(_from_json(content[key] if key else content, path))
    else:
        entries = list(_from_lines(read_text(path), path))
    entries.sort(key=lambda entry: entry.raw)
    names = _registered_names(entries) or check_names(
        [entry.name for entry in entries], str(path), [entry.place for entry in entries]
    )
    raw = tuple(entry.raw for entry in entries)
    if not 0 <= raw[0] <= raw[-1] <= HIGHEST:
        wrong = raw[0] if raw[0] < 0 else raw[-1]
        raise ValueError(f"Label values must be in 0..{HIGHEST}, got label value {wrong} in {path}")
    for before, after in pairwise(entries):
        if before.raw == after.raw:
            raise ValueError(
                f"Label values must differ, but {path} gives label value {after.raw} to "
                f"{before.name!r} and {after.name!r}"
            )
    own = _facts_of_entries(entries, names, raw, str(path))
    facts = read_facts(record, names, raw, str(path)).with_defaults(own)
    return ClassFile(path, names, raw, facts, record)


def _registered_names(entries: Sequence[_Entry]) -> tuple[str, ...] | None:
    """Returns the names if they form a registered vocabulary, which may repeat first synonyms."""
    names = tuple(str(entry.name) for entry in entries)
    return names if find_registered(names) else None


def find_registered(names: tuple[str, ...]) -> str | None:
    """Finds the registered vocabulary with exactly these class names; None if there is none."""
    fits = (v for v in list_vocabularies() if v not in MINI + MINI_SEEN and load_names(v) == names)
    return next(fits, None)


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: the file is not UTF-8 text, is not JSON, repeats a key in one object, or is too
            large to be a class file.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=partial(_unique_keys, path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def _unique_keys(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object, in which `json` alone would keep the last of two equal keys."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(
                f"{path} has the key {key!r} twice: {content[key]!r} and {value!r}. Remove one"
            )
        content[key] = value
    return content


def _from_lines(text: str, path: Path) -> Iterator[_Entry]:
    lines = [
        (f"line {number}", line)
        for number, line in enumerate(text.rstrip().splitlines(), 1)
        if not line.startswith("#")
    ]
    if lines and all(_NUMBERED.match(line) for _, line in lines):
        raise ValueError(
            f"Every line of {path} begins with a number. A text file has only names, in the order "
            f'of the label values. To give label values, write JSON such as {{"7": "road"}}'
        )
    for value, (place, line) in enumerate(lines):
        mark = MARK.search(line)
        _check_mark(line if mark is None else MARK.sub("", line), f"{path}, {place}")
        record = {"seen": mark[1].lower() == "seen"} if mark else {}
        yield _Entry(MARK.sub("", line), value, place, record)


def _check_mark(line: str, where: str) -> None:
    """Raises an error for a misspelt mark, which would become a part of the class name."""
    brackets = _BRACKETS.search(line)
    close = brackets and difflib.get_close_matches(brackets[1].lower(), ("seen", "unseen"), 1, 0.75)
    if brackets and close:
        raise ValueError(f"{where}: unknown mark {brackets[0]}. Did you mean [{close[0]}]?")


def _from_json(content: Any, path: Path) -> Iterator[_Entry]:
    if isinstance(content, list):
        for i, item in enumerate(content):
            yield (
                _from_object(item, i, path)
                if isinstance(item, dict)
                else _Entry(item, i, f"class {i}")
            )
    elif isinstance(content, dict) and all(_is_value(key) for key in content):
        for key, name in content.items():
            yield _Entry(name, int(key), f"value {key}")
    elif isinstance(content, dict) and all(type(value) is int for value in content.values()):
        for name, value in content.items():
            yield _Entry(name, value, f"value {value}")
    else:
        kind = f"keys {', '.join(list(content)[:4])}" if isinstance(content, dict) else content
        raise ValueError(
            f"{path} has no list of classes ({kind}). Expected a list of names, a map from label "
            f"values to names, or one of these under the key 'classes'"
        )


def _from_object(item: dict[str, Any], position: int, path: Path) -> _Entry:
    place, name, value = f"class {position}", item.get("name"), position
    for key in ("index", "id", "value"):
        value = item.get(key, value)
    synonyms = item.get("synonyms") or []
    synonyms = [synonyms] if isinstance(synonyms, str) else synonyms
    marks = (item.get("seen"), item.get("unseen"))
    if (
        not isinstance(name, str)
        or type(value) is not int
        or not (isinstance(synonyms, list) and all(isinstance(s, str) for s in synonyms))
        or not all(isinstance(mark, bool | None) for mark in marks)
    ):
        raise ValueError(
            f"{path}, {place}: expected a 'name', an integer 'index', 'synonyms' that are strings "
            f"and 'seen' that is true or false, got {item!r}"
        )
    check_spelling(item, f"{path}, {place}", of_one_class=True)
    record = dict(item)
    if marks[1] is not None:
        record["seen"] = not marks[1]
    return _Entry(", ".join([name, *(s for s in synonyms if s != name)]), value, place, record)


def _facts_of_entries(
    entries: list[_Entry], names: tuple[str, ...], raw: tuple[int, ...], where: str
) -> ClassFacts:
    """Reads the facts that the objects of single classes state."""
    marks = [entry.record.get("seen") for entry in entries]
    seen, unseen = (
        [name for name, mark in zip(names, marks) if mark is value] for value in (True, False)
    )
    words = {
        name: entry.record[key]
        for name, entry in zip(names, entries)
        for key in WORDS_KEYS
        if entry.record.get(key)
    }
    colors = {
        str(entry.raw): entry.record[key]
        for entry in entries
        for key in ("color", "colour", *PALETTE_KEYS)
        if entry.record.get(key) is not None
    }
    facts = read_facts({"words": words or None, "palette": colors or None}, names, raw, where)
    return ClassFacts(seen=read_marks(seen or None, unseen or None, names, where)).with_defaults(
        facts
    )


def _is_value(key: str) -> bool:
    return key.isascii() and key.isdigit()
