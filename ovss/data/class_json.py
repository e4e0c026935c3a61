"""Reader of the JSON forms of class files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ovss.io.excerpts import excerpt
from ovss.io.strict_json import decoded_json

from .class_facts import check_spelling
from .files import read_text

CLASS_LIST_KEYS = ("classes", "names", "categories")


class ClassEntry(NamedTuple):
    """Class as a class file states it.

    Args:
        name: name, which is checked later.
        raw: label value.
        place: position in the file, for messages.
        record: further facts of the class.
    """

    name: Any
    raw: int
    place: str
    record: Mapping[str, Any] = {}


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: the file is not UTF-8 text, is not JSON, repeats a key in one object, or is too
            large to be a class file.
    """
    text = read_text(path)
    try:
        return decoded_json(text, _unique_keys)
    except ValueError as error:
        raise ValueError(f"{path} {error}. Correct the file") from None


def without_metainfo(content: Any) -> Any:
    """Returns the content of ``METAINFO``, in which mmseg states classes, if there is one."""
    if isinstance(content, dict):
        return next((content[k] for k in ("METAINFO", "metainfo") if k in content), content)
    return content


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object, in which `json` alone would keep the last of two equal keys."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(
                f"has the key {excerpt(key)} twice: {excerpt(content[key])} and {excerpt(value)}"
            )
        content[key] = value
    return content


def entries_of_json(content: Any, path: Path) -> Iterator[ClassEntry]:
    """Yields the classes of a JSON value.

    Args:
        content: list of names or objects, or map from label values to names or the inverse.
        path: file of the value, for messages.

    Raises:
        ValueError: the value has another form.
    """
    if isinstance(content, list):
        for i, item in enumerate(content):
            yield (
                _from_object(item, i, path)
                if isinstance(item, dict)
                else ClassEntry(item, i, f"class {i}")
            )
    elif isinstance(content, dict) and all(_is_value(key) for key in content):
        for key, name in content.items():
            yield ClassEntry(name, int(key), f"value {key}")
    elif isinstance(content, dict) and all(type(value) is int for value in content.values()):
        for name, value in content.items():
            yield ClassEntry(name, value, f"value {value}")
    else:
        kind = f"keys {', '.join(list(content)[:4])}" if isinstance(content, dict) else content
        raise ValueError(
            f"{path} has no list of classes ({kind}). Expected a list of names, a map from label "
            f"values to names, or one of these under the key 'classes'"
        )


def _from_object(item: dict[str, Any], position: int, path: Path) -> ClassEntry:
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
            f"and 'seen' that is true or false, got {excerpt(item)}"
        )
    check_spelling(item, f"{path}, {place}", of_one_class=True)
    record = dict(item)
    if marks[1] is not None:
        record["seen"] = not marks[1]
    return ClassEntry(", ".join([name, *(s for s in synonyms if s != name)]), value, place, record)


def _is_value(key: str) -> bool:
    return key.isascii() and key.isdigit()
