"""Columns of class tables: names, label values, colours and marks of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# fmt: off
NAME_COLUMNS = frozenset(("name", "names", "class", "classname", "classes", "label", "labelname",
                          "category", "categoryname", "title", "object"))
VALUE_COLUMNS = frozenset(("id", "ids", "index", "idx", "value", "pixelvalue", "labelid",
                           "labelvalue", "labelindex", "classid", "classindex", "classvalue",
                           "categoryid", "trainid", "number", "no", "code", "gray", "grey"))
# fmt: on
_COLORS = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}
_WHOLE_COLORS = frozenset(("color", "colour", "rgb", "colorrgb", "colourrgb", "hex"))
_IGNORED = frozenset(("ignoreineval", "ignored", "ignore"))
_HEX = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$", re.IGNORECASE)
_UNLABELED = (-1, 255)  # train ids of the label tables of Cityscapes that are not evaluated
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


@dataclass(frozen=True)
class TableRow:
    """Row of a class table.

    Args:
        name: name of the class; ``"sofa, couch"`` is one class with two synonyms.
        value: label value; None: the table has no column of values.
        color: RGB triple; None: the table states none.
        line: number of the line, from 1.
    """

    name: str
    value: int | None
    color: tuple[int, int, int] | None
    line: int


@dataclass(frozen=True)
class ClassTable:
    """Content of a class table.

    Args:
        rows: rows of the classes, in the order of the file.
        ignored: label values that the table marks as not evaluated.
        ignored_colors: colours that the table marks as not evaluated.
        states_ignored: True if the layout defines which values are not labelled.
    """

    rows: tuple[TableRow, ...]
    ignored: tuple[int, ...] = ()
    ignored_colors: tuple[tuple[int, int, int], ...] = ()
    states_ignored: bool = False


def is_color_column(column: str) -> bool:
    """Returns True for the name of a column with a colour or one of its channels."""
    return column in _COLORS or column in _WHOLE_COLORS


def table_of(header: Sequence[str], rows: list[tuple[int, list[str]]], where: str) -> ClassTable:
    """Reads the rows of a table with a header.

    Args:
        header: names of the columns, in lower case without spaces and punctuation.
        rows: line number and cells of each row.
        where: path of the file, for messages.

    Raises:
        ValueError: the columns are ambiguous, or a cell does not fit its column.
    """
    if not rows:
        raise ValueError(f"{where} has a header but no rows. Write one row for each class")
    columns = {key: [cells[i] for _, cells in rows] for i, key in enumerate(header)}
    if len(columns) < len(header):
        twice = next(key for i, key in enumerate(header) if key in header[:i])
        raise ValueError(f"{where} has the column {twice!r} twice. Remove one")
    value_key = _value_column(columns, where)
    name_key = _name_column(
        [key for key in columns if key in NAME_COLUMNS and key != value_key], where
    )
    values = [None] * len(rows) if value_key is None else columns[value_key]
    found, ignored, ignored_colors = [], [], []
    for position, (line, _) in enumerate(rows):
        place = f"{where}, line {line}"
        value = None if value_key is None else _integer(str(values[position]), value_key, place)
        color = color_of(columns, position, place)
        if _is_ignored(columns, position, value_key, value, place):
            ignored += [] if value is None else [value]
            ignored_colors += [] if color is None else [color]
        else:
            found.append(TableRow(columns[name_key][position], value, color, line))
    has_mark = bool(_IGNORED.intersection(columns)) or (value_key == "trainid" and bool(ignored))
    taken_colors = {row.color for row in found}
    return ClassTable(
        tuple(found),
        tuple(dict.fromkeys(ignored)),
        tuple(c for c in dict.fromkeys(ignored_colors) if c not in taken_colors),
        has_mark and value_key is not None,
    )


def _value_column(columns: dict[str, list[str]], where: str) -> str | None:
    found = [key for key in columns if key in VALUE_COLUMNS]
    if not found and not any(map(is_color_column, columns)):  # such as `label,name` with numbers
        found = [
            key for key in columns if key in NAME_COLUMNS and all(map(is_integer, columns[key]))
        ]
    if len(found) > 1:
        listed = " and ".join(map(repr, found))
        raise ValueError(
            f"{where} has the columns {listed}, each of which may hold the label values. Remove "
            f"those that your label maps do not hold"
        )
    return found[0] if found else None


def _name_column(found: list[str], where: str) -> str:
    for key in ("name", "classname", "labelname", "categoryname"):
        if key in found:
            return key
    if len(found) == 1:
        return found[0]
    listed = " and ".join(map(repr, found)) or "none"
    raise ValueError(f"{where} needs one column of names, found {listed}. Call it 'name'")


def _is_ignored(
    columns: dict[str, list[str]], position: int, key: str | None, value: int | None, place: str
) -> bool:
    if key == "trainid" and value in _UNLABELED:
        return True
    marks = [columns[column][position].casefold() for column in columns if column in _IGNORED]
    wrong = [mark for mark in marks if mark not in (*_TRUE, *_FALSE)]
    if wrong:
        raise ValueError(f"{place}: expected True or False, found {wrong[0]!r}. Correct the cell")
    return any(mark in _TRUE for mark in marks) or (value is not None and value < 0)


def is_integer(cell: str) -> bool:
    """Returns True if a cell holds an integer."""
    return re.fullmatch(r"-?\d{1,18}", cell) is not None


def _integer(cell: str, column: str, place: str) -> int:
    if not is_integer(cell):
        raise ValueError(
            f"{place}: expected an integer in {column!r}, found {cell[:40]!r}. Correct it"
        )
    return int(cell)


def color_of(
    columns: dict[str, list[str]], position: int, place: str
) -> tuple[int, int, int] | None:
    """Reads the colour of a row; None if it has none.

    Args:
        columns: cells by column.
        position: position of the row.
        place: file and line, for messages.

    Raises:
        ValueError: the cells are not a colour.
    """
    parts = {_COLORS[key]: columns[key][position] for key in columns if key in _COLORS}
    if parts:
        cells = [parts.get(i, "") for i in range(3)]
    else:
        whole = next((columns[key][position] for key in columns if key in _WHOLE_COLORS), "")
        if not whole:
            return None
        match = _HEX.match(whole)
        cells = [str(int(x, 16)) for x in match.groups()] if match else re.findall(r"\d+", whole)
    if len(cells) != 3 or not all(is_integer(c) and 0 <= int(c) <= 255 for c in cells):
        raise ValueError(
            f"{place}: expected a colour of three integers in 0..255, found {' '.join(cells)!r}. "
            f"Correct it"
        )
    return int(cells[0]), int(cells[1]), int(cells[2])
