"""Reader of the colours of classes in a class file or a palette."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ovss.io.excerpts import excerpt

from .labels import find_class

Color = tuple[int, int, int]

IGNORED_KEYS = ("ignored", "ignore", "ignore_raw", "ignore_index", "ignore_label")


def read_palette(
    palette: Any, names: Sequence[str], raw: Sequence[int], where: str
) -> tuple[tuple[Color, ...], tuple[Color, ...] | None]:
    """Reads the colours of T classes, and the colours that mean "not labelled".

    Args:
        palette: list of colours in the order of the classes, or map from names or label values to
            colours. In a map the key ``ignored`` holds one colour or a list of colours.
        names: T class names.
        raw: label values of the classes.
        where: source of the palette, for messages.

    Raises:
        ValueError: a class has no colour, two classes have the same one, or a colour is malformed.
    """
    ignored: tuple[Color, ...] | None = None
    if isinstance(palette, Mapping):
        entries = dict(palette)
        for key in [key for key in entries if key in IGNORED_KEYS and key not in names]:
            value = entries.pop(key)
            is_list = isinstance(value, list) and all(isinstance(c, list) for c in value)
            ignored = tuple(_color(c, where) for c in (value if is_list else [value]))
        by_value = {str(value): i for i, value in enumerate(raw)}
        by_class = {
            by_value[key] if key in by_value else find_class(key, names, where, "palette"): color
            for key, color in entries.items()
        }
        missing = [name for i, name in enumerate(names) if i not in by_class]
        if missing:
            raise ValueError(
                f"The palette in {where} has no colour for {excerpt(missing[0])}. Add one"
            )
        values = [by_class[i] for i in range(len(names))]
    else:
        values = checked_list(palette, where, "palette")
        if len(values) != len(names):
            raise ValueError(
                f"The palette in {where} must have one colour for each class, got {len(values)} "
                f"colours for {len(names)} classes"
            )
    colors = tuple(_color(value, where) for value in values)
    for i, color in enumerate((*colors, *(ignored or ()))):
        if color in colors[:i]:
            other = names[i] if i < len(names) else "not labelled"
            raise ValueError(
                f"{excerpt(names[colors.index(color)])} and {excerpt(other)} share the colour "
                f"{list(color)} in {where}. Give each its own colour"
            )
    return colors, ignored


def checked_list(value: Any, where: str, key: str) -> list[Any]:
    """Converts a list or tuple to a list.

    Args:
        value: content of the key.
        where: source of the value, for messages.
        key: name of the key, for messages.

    Raises:
        ValueError: `value` is neither a list nor a tuple.
    """
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError(f"{key!r} must be a list in {where}, got {excerpt(value)}")


def _color(value: Any, where: str) -> Color:
    if (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(x, int) and 0 <= x <= 255 for x in value)
    ):
        return value[0], value[1], value[2]
    raise ValueError(
        f"A colour must be [red, green, blue] in 0..255, got {excerpt(value)} in {where}"
    )
