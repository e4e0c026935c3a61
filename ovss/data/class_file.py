"""Reader of class files: names of label values and optional facts about the classes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ovss.io.excerpts import excerpt
from ovss.io.text import text_lines
from ovss.vocabularies import list_vocabularies, load_names
from ovss.vocabularies.checks import check_names
from ovss.vocabularies.reader import MARK, MINI, MINI_SEEN, NOT_A_CLASS
from ovss.vocabularies.tables import ClassTable, read_class_table

from .class_facts import (
    HIGHEST,
    PALETTE_KEYS,
    WORDS_KEYS,
    ClassFacts,
    read_facts,
)
from .class_json import CLASS_LIST_KEYS, ClassEntry, entries_of_json, read_json, without_metainfo
from .class_marks import read_marks
from .files import read_text

_BRACKETS = re.compile(r"\[([^\[\]]*)\]\s*$")  # quick on many open brackets too
_MOST_LINES = 4 * HIGHEST  # leaves room for comments
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
        implied: facts that the layout of a table implies, unless a file states them.
    """

    path: Path
    names: tuple[str, ...]
    raw: tuple[int, ...]
    facts: ClassFacts
    record: Mapping[str, Any]
    implied: ClassFacts = field(default_factory=ClassFacts)

    @property
    def label_map(self) -> dict[int, int] | None:
        """Map from label values to class indices; None if they are equal."""
        if self.raw == tuple(range(len(self.raw))):
            return None
        return {value: index for index, value in enumerate(self.raw)}


def read_class_file(path: str | Path) -> ClassFile:
    """Reads a class file; docs/your_data.md shows the accepted forms.

    Args:
        path: path of a text or JSON file. A text file has one class per line in the order of the
            label values, with ``#`` in the first column for a comment and ``[seen]`` or
            ``[unseen]`` at the end of a line; or it is a table with a header
            (`ovss.vocabularies.tables`). A JSON file holds a list of names or of objects
            (``name``, ``synonyms``, ``seen``, ``color``, ``index``, ``words``), a map from label
            values to names or the inverse, or an object with one of these under ``classes`` and
            any keys of `read_facts`. The object may be inside ``METAINFO``, as in mmseg.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an empty file, a blank name, duplicates, contradictory marks, or no list of
            classes. Messages give the file and the position.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"Class file {path} does not exist")
    record: Mapping[str, Any] = {}
    implied = ClassFacts()
    if path.suffix.lower() == ".json":
        content = without_metainfo(read_json(path))
        key = next((k for k in CLASS_LIST_KEYS if isinstance(content, dict) and k in content), None)
        record = content if key else {}
        entries = list(entries_of_json(content[key] if key else content, path))
    else:
        text = read_text(path)
        lines = text.count("\n")
        if lines > _MOST_LINES:  # before each of them is looked at
            raise ValueError(
                f"{path} has {lines:,} lines, but label maps have at most {HIGHEST + 1:,} values. "
                f"Check that it is the class file"
            )
        table = read_class_table(text, str(path))
        entries = list(_from_lines(text, path) if table is None else _from_table(table))
        implied = ClassFacts() if table is None else _facts_of_table(table)
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
                f"{excerpt(before.name)} and {excerpt(after.name)}"
            )
    own = _facts_of_entries(entries, names, raw, str(path))
    facts = read_facts(record, names, raw, str(path)).with_defaults(own)
    return ClassFile(path, names, raw, facts, record, implied)


def check_vocabulary_values(vocabulary: Any) -> None:
    """Raises an error if a vocabulary is a table whose label values are not 0, 1, 2 and so on.

    Args:
        vocabulary: vocabulary of a dataset whose config has no label map.

    Raises:
        ValueError: the table gives other label values, which a vocabulary does not keep.
    """
    if not isinstance(vocabulary, str | Path) or vocabulary in list_vocabularies():
        return
    path = Path(vocabulary)
    if not path.is_file() or path.suffix.lower() == ".json":
        return
    table = read_class_table(read_text(path), str(path))
    values = sorted(row.value for row in table.rows if row.value is not None) if table else []
    if values and values != list(range(len(values))):
        pairs = ", ".join(f"{value}: {index}" for index, value in enumerate(values[:3]))
        raise ValueError(
            f"The vocabulary {path} gives label values, which are {values[0]} to {values[-1]} and "
            f"not 0 to {len(values) - 1}. State them in `label_map`, such as {{{pairs}, ...}}"
        )


def _registered_names(entries: Sequence[ClassEntry]) -> tuple[str, ...] | None:
    """Returns the names if they form a registered vocabulary, which may repeat first synonyms."""
    names = tuple(str(entry.name) for entry in entries)
    return names if find_registered(names) else None


def find_registered(names: tuple[str, ...]) -> str | None:
    """Finds the registered vocabulary with exactly these class names; None if there is none."""
    fits = (v for v in list_vocabularies() if v not in MINI + MINI_SEEN and load_names(v) == names)
    return next(fits, None)


def _from_lines(text: str, path: Path) -> Iterator[ClassEntry]:
    lines = [
        (f"line {number}", line)
        for number, line in enumerate(text_lines(text), 1)
        if not line.startswith("#") and line.strip() != NOT_A_CLASS
    ]
    if lines and all(_NUMBERED.match(line) for _, line in lines):
        raise ValueError(
            f"Every line of {path} begins with a number. A text file has only names, in the order "
            f'of the label values. To give label values, write JSON such as {{"7": "road"}}, or a '
            f"table with a first line 'id,name'"
        )
    for value, (place, line) in enumerate(lines):
        mark = MARK.search(line)
        _check_mark(line if mark is None else MARK.sub("", line), f"{path}, {place}")
        record = {"seen": mark[1].lower() == "seen"} if mark else {}
        yield ClassEntry(MARK.sub("", line), value, place, record)


def _from_table(table: ClassTable) -> Iterator[ClassEntry]:
    for position, row in enumerate(table.rows):
        mark = MARK.search(row.name)
        record: dict[str, Any] = {"seen": mark[1].lower() == "seen"} if mark else {}
        if row.color is not None:
            record["color"] = list(row.color)
        value = position if row.value is None else row.value
        yield ClassEntry(MARK.sub("", row.name), value, f"line {row.line}", record)


def _facts_of_table(table: ClassTable) -> ClassFacts:
    return ClassFacts(
        ignored=table.ignored if table.states_ignored else None,
        ignored_colors=table.ignored_colors or None,
    )


def _check_mark(line: str, where: str) -> None:
    """Raises an error for a misspelt mark, which would become a part of the class name."""
    brackets = _BRACKETS.search(line)
    close = brackets and difflib.get_close_matches(
        brackets[1].strip().lower(), ("seen", "unseen"), 1, 0.75
    )
    if brackets and close:
        raise ValueError(f"{where}: unknown mark {brackets[0].strip()}. Did you mean [{close[0]}]?")


def _facts_of_entries(
    entries: list[ClassEntry], names: tuple[str, ...], raw: tuple[int, ...], where: str
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
