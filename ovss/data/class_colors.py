"""The colours of classes, as a class file or a palette gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .labels import find_class

Color = tuple[int, int, int]

IGNORED_KEYS = ("ignored", "ignore", "ignore_raw", "ignore_index", "ignore_label")


def read_palette(
    palette: Any, names: Sequence[str], raw: Sequence[int], where: str
) -> tuple[tuple[Color, ...], tuple[Color, ...] | None]:
    """T colours, and those that mean "not labelled", of a list in order or of a map from names or
    label values; the key ``ignored`` holds one colour or a list of them.

    Raises:
        ValueError: a class without a colour, two with the same, something that is no colour.
    """
    ignored: tuple[Color, ...] | None = None
    if isinstance(palette, Mapping):
        left = dict(palette)
        for key in [key for key in left if key in IGNORED_KEYS and key not in names]:
            given = left.pop(key)
            many = isinstance(given, list) and all(isinstance(c, list) for c in given)
            ignored = tuple(_color(c, where) for c in (given if many else [given]))
        values = {str(value): i for i, value in enumerate(raw)}
        by_class = {
            values[key] if key in values else find_class(key, names, where, "the palette"): color
            for key, color in left.items()
        }
        missing = [name for i, name in enumerate(names) if i not in by_class]
        if missing:
            raise ValueError(f"{where}: the palette has no colour for {missing[0]!r}")
        given_colors = [by_class[i] for i in range(len(names))]
    else:
        given_colors = as_list(palette, where, "palette")
        if len(given_colors) != len(names):
            raise ValueError(
                f"{where}: a palette of {len(given_colors)} colours for {len(names)} classes"
            )
    colors = tuple(_color(color, where) for color in given_colors)
    for i, color in enumerate((*colors, *(ignored or ()))):
        if color in colors[:i]:
            other = names[i] if i < len(names) else "not labelled"
            raise ValueError(
                f"{where}: {names[colors.index(color)]!r} and {other!r} share the colour "
                f"{list(color)}"
            )
    return colors, ignored


def as_list(given: Any, where: str, key: str) -> list[Any]:
    """What stands under a key as a list; a ValueError that names both where it is none."""
    if isinstance(given, list | tuple):
        return list(given)
    raise ValueError(f"{where}: {key!r} must be a list, got {given!r}")


def _color(given: Any, where: str) -> Color:
    if (
        isinstance(given, list | tuple)
        and len(given) == 3
        and all(isinstance(x, int) and 0 <= x <= 255 for x in given)
    ):
        return given[0], given[1], given[2]
    raise ValueError(f"{where}: {given!r} is no colour; write [red, green, blue], each 0..255")
