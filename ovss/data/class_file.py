"""A class file: what label values are called, and what may stand beside the names."""

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
    read_facts,
    read_marks,
    refuse_misspelt,
)
from .files import read_text

INNER = ("classes", "names", "categories")
_BRACKETS = re.compile(r"\[\s*([^\]]*?)\s*\]\s*$")
_NUMBERED = re.compile(r"\s*\d+[\s:;,.)]+\S")


@dataclass(frozen=True)
class ClassFile:
    """What a class file says.

    Args:
        path: where it was read.
        names: T classes; ``"sofa, couch"`` is one with two synonyms.
        raw: their T label values.
        facts: what else it says of them.
        around: the JSON object that they are in, if any.
    """

    path: Path
    names: tuple[str, ...]
    raw: tuple[int, ...]
    facts: ClassFacts
    around: Mapping[str, Any]

    @property
    def label_map(self) -> dict[int, int] | None:
        """Label value -> class; None where they are the same."""
        if self.raw == tuple(range(len(self.raw))):
            return None
        return {value: index for index, value in enumerate(self.raw)}


class _Entry(NamedTuple):
    name: Any
    raw: int
    place: str
    record: Mapping[str, Any] = {}


def read_class_file(path: str | Path) -> ClassFile:
    """Read a class file; docs/your_data.md shows its forms.

    Args:
        path: text: one class a line in the order of the label values, ``#`` in the first column for
            a comment, ``[seen]`` or ``[unseen]`` at the end of a line. JSON: a list of names or of
            objects (``name``, ``synonyms``, ``seen``, ``color``, ``index``, ``words``), a map from
            label values to names or back, or an object that holds one of these as ``classes`` and
            beside it what `read_facts` takes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, a blank name, duplicates, marks that contradict each other, or nothing
            that is a list of classes; each with the file and the place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no class file {path}")
    around: Mapping[str, Any] = {}
    if path.suffix.lower() == ".json":
        content = read_json(path)
        key = next((k for k in INNER if isinstance(content, dict) and k in content), None)
        around = content if key else {}
        entries = list(_from_json(content[key] if key else content, path))
    else:
        entries = list(_from_lines(read_text(path), path))
    entries.sort(key=lambda entry: entry.raw)
    names = registered_as_it_is(entries) or check_names(
        [entry.name for entry in entries], str(path), [entry.place for entry in entries]
    )
    raw = tuple(entry.raw for entry in entries)
    if not 0 <= raw[0] <= raw[-1] <= HIGHEST:
        wrong = raw[0] if raw[0] < 0 else raw[-1]
        raise ValueError(f"{path} gives label value {wrong}: label maps hold 0..{HIGHEST}")
    for before, after in pairwise(entries):
        if before.raw == after.raw:
            raise ValueError(
                f"{path} gives label value {after.raw} to {before.name!r} and {after.name!r}"
            )
    own = _facts_of_entries(entries, names, raw, str(path))
    facts = read_facts(around, names, raw, str(path)).completed(own)
    return ClassFile(path, names, raw, facts, around)


def registered_as_it_is(entries: Sequence[_Entry]) -> tuple[str, ...] | None:
    """The names, where they are a registered vocabulary's: those may repeat first synonyms."""
    names = tuple(str(entry.name) for entry in entries)
    return names if find_registered(names) else None


def find_registered(names: tuple[str, ...]) -> str | None:
    """The registered vocabulary that these names are; None: they are none."""
    fits = (v for v in list_vocabularies() if v not in MINI + MINI_SEEN and load_names(v) == names)
    return next(fits, None)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: no UTF-8 text, no JSON, a key given twice in one object, or too large to be
            about classes; names the file.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=partial(_without_doubles, path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None


def _without_doubles(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON keeps the last of two; here neither would be missed."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{path} gives the key {key!r} twice: {found[key]!r} and {value!r}")
        found[key] = value
    return found


def _from_lines(text: str, path: Path) -> Iterator[_Entry]:
    lines = [
        (f"line {number}", line)
        for number, line in enumerate(text.rstrip().splitlines(), 1)
        if not line.startswith("#")
    ]
    if lines and all(_NUMBERED.match(line) for _, line in lines):
        raise ValueError(
            f"{path}: every line begins with a number; a text file has the names alone, in the "
            f'order of the label values. With values of their own write JSON: {{"7": "road"}}'
        )
    for value, (place, line) in enumerate(lines):
        mark = MARK.search(line)
        _refuse_misspelt_mark(line if mark is None else MARK.sub("", line), f"{path}, {place}")
        record = {"seen": mark[1].lower() == "seen"} if mark else {}
        yield _Entry(MARK.sub("", line), value, place, record)


def _refuse_misspelt_mark(line: str, where: str) -> None:
    """``sky [unsen]`` would be a class of that name."""
    said = _BRACKETS.search(line)
    close = said and difflib.get_close_matches(said[1].lower(), ("seen", "unseen"), 1, 0.75)
    if said and close:
        raise ValueError(f"{where}: no mark is called {said[0]}; did you mean [{close[0]}]?")


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
            f"{path} holds no list of classes ({kind}): expected a list of names, a map from label "
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
            f"{path}, {place}: expected a 'name', an integer 'index', 'synonyms' that are strings, "
            f"'seen' that is true or false; got {item!r}"
        )
    refuse_misspelt(item, f"{path}, {place}", of_one_class=True)
    record = dict(item)
    if marks[1] is not None:
        record["seen"] = not marks[1]
    return _Entry(", ".join([name, *(s for s in synonyms if s != name)]), value, place, record)


def _facts_of_entries(
    entries: list[_Entry], names: tuple[str, ...], raw: tuple[int, ...], where: str
) -> ClassFacts:
    """What stands in the entries themselves."""
    marks = [entry.record.get("seen") for entry in entries]
    lists = {
        mark: [name for name, said in zip(names, marks) if said is mark] for mark in (True, False)
    }
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
    seen = read_marks(lists[True] or None, lists[False] or None, names, where)
    return ClassFacts(seen=seen).completed(facts)


def _is_value(key: str) -> bool:
    return key.isascii() and key.isdigit()
