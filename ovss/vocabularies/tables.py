"""Reader of class tables: names with label values or colours in columns of a text file."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ClassTable", "TableRow", "read_class_table"]

# fmt: off
_NAMES = frozenset(("name", "names", "class", "classname", "classes", "label", "labelname",
                    "category", "categoryname", "title", "object"))
_VALUES = frozenset(("id", "ids", "index", "idx", "value", "pixelvalue", "labelid", "labelvalue",
                     "labelindex", "classid", "classindex", "classvalue", "categoryid", "trainid",
                     "number", "no", "code", "gray", "grey"))
# fmt: on
_COLORS = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}
_WHOLE_COLORS = frozenset(("color", "colour", "rgb", "colorrgb", "colourrgb", "hex"))
_IGNORED = frozenset(("ignoreineval", "ignored", "ignore"))
_OBJECT_INFO = ("idx", "ratio", "train", "val", "stuff", "name")
_CVAT_HEADER = re.compile(r"#\s*label:color_rgb:parts:actions\s*$", re.IGNORECASE)
_CVAT = re.compile(r"(?P<name>[^:]*):(?P<color>\d+,\d+,\d+)?:[^:]*:[^:]*$")
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


def read_class_table(text: str, where: str) -> ClassTable | None:
    """Reads a table of classes; None if the text is a plain list of names.

    A table has a header with a column of names and a column of label values or colours, separated
    by commas, semicolons or tabs; or the layout of ADE20K's objectInfo150.txt; or that of CVAT's
    labelmap.txt. A comma alone does not make a table, because it separates synonyms.

    Args:
        text: content of the file.
        where: path of the file, for messages.

    Raises:
        ValueError: a table without a header, or with a row that does not fit its header. The
            message gives the line.
    """
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        return None
    content = [(i, line) for i, line in lines if not line.startswith("#")]
    if _CVAT_HEADER.match(lines[0][1]) or (content and all(_CVAT.match(x) for _, x in content)):
        return _cvat_table(content, where)
    if not content:
        return None
    header, separator = _header([line for _, line in content])
    if header is None:
        _check_columns(content, where)
        return None
    rows = [(i, _cells(line, separator, len(header))) for i, line in content[1:]]
    for number, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{where}, line {number}: expected {len(header)} columns as in the header, found "
                f"{len(cells)}. Put a name that contains the separator in double quotes"
            )
    if tuple(header) == _OBJECT_INFO:
        rows = [(i, [*cells[:-1], cells[-1].replace(";", ",")]) for i, cells in rows]
    table = _table(header, rows, where)
    if tuple(header) == _OBJECT_INFO:  # of ADE20K, where 0 means "not labelled"
        return ClassTable(table.rows, (0,), states_ignored=True)
    return table


def _header(lines: list[str]) -> tuple[list[str] | None, str | None]:
    """Names of the columns and their separator; None if the first line is not a header."""
    line = lines[0]
    words = [_key(cell) for cell in line.split()]
    if tuple(words) == _OBJECT_INFO and "," not in line:
        return words, "\t" if "\t" in line else None
    for separator in ("\t", ";", ","):
        cells = [_key(cell) for cell in _cells(line, separator, 0)]
        if len(cells) < 2 or not _NAMES.intersection(cells):
            continue
        if any(cell in _VALUES or _is_color(cell) for cell in cells):
            return cells, separator
        rows = [_cells(row, separator, 0) for row in lines[1:]]
        if len(_NAMES.intersection(cells)) > 1 and all(len(row) == len(cells) for row in rows):
            columns = dict(zip(cells, zip(*rows)))  # such as `label,name`, of which one is a value
            if any(all(map(_is_integer, columns.get(cell, ("",)))) for cell in cells):
                return cells, separator
    return None, None


def _cells(line: str, separator: str | None, count: int) -> list[str]:
    if separator is None:
        return line.split(None, count - 1)
    cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return [cell.strip() for cell in cells]


def _key(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell).casefold()


def _is_color(column: str) -> bool:
    return column in _COLORS or column in _WHOLE_COLORS


def _table(header: Sequence[str], rows: list[tuple[int, list[str]]], where: str) -> ClassTable:
    """Reads the rows of a table with a header."""
    if not rows:
        raise ValueError(f"{where} has a header but no rows. Write one row for each class")
    columns = {key: [cells[i] for _, cells in rows] for i, key in enumerate(header)}
    if len(columns) < len(header):
        twice = next(key for i, key in enumerate(header) if key in header[:i])
        raise ValueError(f"{where} has the column {twice!r} twice. Remove one")
    value_key = _value_column(columns, where)
    name_key = _name_column([key for key in columns if key in _NAMES and key != value_key], where)
    values = [None] * len(rows) if value_key is None else columns[value_key]
    found, ignored, ignored_colors = [], [], []
    for position, (line, _) in enumerate(rows):
        place = f"{where}, line {line}"
        value = None if value_key is None else _integer(str(values[position]), value_key, place)
        color = _color_of(columns, position, place)
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
    found = [key for key in columns if key in _VALUES]
    if not found and not any(map(_is_color, columns)):  # such as `label,name` with numbers
        found = [key for key in columns if key in _NAMES and all(map(_is_integer, columns[key]))]
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


def _is_integer(cell: str) -> bool:
    return re.fullmatch(r"-?\d+", cell) is not None


def _integer(cell: str, column: str, place: str) -> int:
    if not _is_integer(cell):
        raise ValueError(f"{place}: expected an integer in {column!r}, found {cell!r}. Correct it")
    return int(cell)


def _color_of(
    columns: dict[str, list[str]], position: int, place: str
) -> tuple[int, int, int] | None:
    parts = {_COLORS[key]: columns[key][position] for key in columns if key in _COLORS}
    if parts:
        cells = [parts.get(i, "") for i in range(3)]
    else:
        whole = next((columns[key][position] for key in columns if key in _WHOLE_COLORS), "")
        if not whole:
            return None
        match = _HEX.match(whole)
        cells = [str(int(x, 16)) for x in match.groups()] if match else re.findall(r"\d+", whole)
    if len(cells) != 3 or not all(_is_integer(c) and 0 <= int(c) <= 255 for c in cells):
        raise ValueError(
            f"{place}: expected a colour of three integers in 0..255, found {' '.join(cells)!r}. "
            f"Correct it"
        )
    return int(cells[0]), int(cells[1]), int(cells[2])


def _cvat_table(lines: list[tuple[int, str]], where: str) -> ClassTable:
    """Reads CVAT's labelmap.txt: the position is the label value, and the colour the palette."""
    rows = []
    for position, (number, line) in enumerate(lines):
        match = _CVAT.match(line)
        if match is None:
            raise ValueError(
                f"{where}, line {number}: expected a row such as 'road:128,64,128::', found "
                f"{line!r}. Export the label map again"
            )
        cells = {"color": [match["color"] or ""]}
        color = _color_of(cells, 0, f"{where}, line {number}")
        rows.append(TableRow(match["name"].strip(), position, color, number))
    return ClassTable(tuple(rows))


def _check_columns(lines: list[tuple[int, str]], where: str) -> None:
    """Raises an error for rows of columns without a header, whose numbers would become names."""
    split = [[cell.strip() for cell in re.split(r"[\t;,]", line)] for _, line in lines]
    width = len(split[0])
    if width == 1 or any(len(cells) != width for cells in split):
        return
    is_first = all(_is_integer(cells[0]) for cells in split)
    if not is_first and not all(_is_integer(cell) for cells in split for cell in cells[1:]):
        return
    header = "id,name" if is_first else "name,r,g,b" if width == 4 else "name,id"
    raise ValueError(
        f"Every line of {where} has a column of numbers, but no header says what they are. "
        f"Write a first line such as '{header}', with the separator of the rows"
    )
