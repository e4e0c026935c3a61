"""Reader of class tables: names with label values or colours in columns of a text file."""

from __future__ import annotations

import csv
import re

from ovss.io.text import text_lines

from .table_columns import (
    NAME_COLUMNS,
    VALUE_COLUMNS,
    ClassTable,
    TableRow,
    color_of,
    is_color_column,
    is_integer,
    table_of,
)

__all__ = ["ClassTable", "TableRow", "read_class_table"]

_OBJECT_INFO = ("idx", "ratio", "train", "val", "stuff", "name")
_CVAT_HEADER = re.compile(r"#\s*label:color_rgb:parts:actions\s*$", re.IGNORECASE)
_CVAT = re.compile(r"(?P<name>[^:]*):(?P<color>\d+,\d+,\d+)?:[^:]*:[^:]*$")


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
    lines = [(i, line) for i, line in enumerate(text_lines(text), 1) if line.strip()]
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
    table = table_of(header, rows, where)
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
        if len(cells) < 2 or not NAME_COLUMNS.intersection(cells):
            continue
        if any(cell in VALUE_COLUMNS or is_color_column(cell) for cell in cells):
            return cells, separator
        rows = [_cells(row, separator, 0) for row in lines[1:]]
        if len(NAME_COLUMNS.intersection(cells)) > 1 and all(
            len(row) == len(cells) for row in rows
        ):
            columns = dict(zip(cells, zip(*rows)))  # such as `label,name`, of which one is a value
            if any(all(map(is_integer, columns.get(cell, ("",)))) for cell in cells):
                return cells, separator
    return None, None


def _cells(line: str, separator: str | None, count: int) -> list[str]:
    if separator is None:
        return line.split(None, count - 1)
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(
            f"A line of the class file cannot be read ({error}): {line[:40]!r}. Correct it"
        ) from None
    return [cell.strip() for cell in cells]


def _key(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell).casefold()


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
        color = color_of(cells, 0, f"{where}, line {number}")
        rows.append(TableRow(match["name"].strip(), position, color, number))
    return ClassTable(tuple(rows))


def _check_columns(lines: list[tuple[int, str]], where: str) -> None:
    """Raises an error for rows of columns without a header, whose numbers would become names."""
    split = [[cell.strip() for cell in re.split(r"[\t;,]", line)] for _, line in lines]
    width = len(split[0])
    if width == 1 or any(len(cells) != width for cells in split):
        return
    is_first = all(is_integer(cells[0]) for cells in split)
    if not is_first and not all(is_integer(cell) for cells in split for cell in cells[1:]):
        return
    header = "id,name" if is_first else "name,r,g,b" if width == 4 else "name,id"
    raise ValueError(
        f"Every line of {where} has a column of numbers, but no header says what they are. "
        f"Write a first line such as '{header}', with the separator of the rows"
    )
