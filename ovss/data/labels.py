"""The border that raw label values cross once: afterwards a label is an index or IGNORE."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovss.selection import IGNORE
from ovss.structures import split_synonyms

_UNKNOWN = -2
_RAW_VALUES = 1 << 16


class LabelMapper:
    """Converts the values of label files into indices of a vocabulary.

    Args:
        num_categories: how many categories the vocabulary has.
        mapping: raw value -> index or IGNORE; None takes a raw value for the index itself.
        ignored: raw values that mean "not labelled".

    Raises:
        ValueError: the mapping points outside the vocabulary, or a raw value outside 16 bits.

    >>> import numpy as np
    >>> LabelMapper(3, ignored=(255,))(np.array([[0, 2, 255]]), "a.png").tolist()
    [[0, 2, -1]]
    """

    def __init__(
        self,
        num_categories: int,
        mapping: Mapping[int, int] | None = None,
        ignored: Iterable[int] = (),
    ) -> None:
        self.num_categories = num_categories
        if mapping is None:
            mapping = {index: index for index in range(num_categories)}
        self.table = np.full(_RAW_VALUES, _UNKNOWN, np.int32)
        for raw, index in [*mapping.items(), *((raw, IGNORE) for raw in ignored)]:
            if not (0 <= raw < _RAW_VALUES and IGNORE <= index < num_categories):
                raise ValueError(
                    f"label map sends raw value {raw} to {index}: raw values are 0..65535, indices "
                    f"0..{num_categories - 1}, or {IGNORE} to ignore"
                )
            self.table[raw] = index

    def __call__(self, raw_HW: NDArray[np.integer], where: str) -> NDArray[np.int32]:
        """Indices or IGNORE, int32 (H, W).

        Raises:
            ValueError: a value that is neither in the vocabulary nor ignored; names `where`, the
                values and their pixel counts.
        """
        inside = (raw_HW >= 0) & (raw_HW < _RAW_VALUES)
        labels_HW = np.where(inside, self.table[np.where(inside, raw_HW, 0)], _UNKNOWN)
        if (labels_HW == _UNKNOWN).any():
            values, counts = np.unique(raw_HW[labels_HW == _UNKNOWN], return_counts=True)
            listed = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values[:5], counts[:5]))
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            raise ValueError(
                f"label map {where} holds {listed}{more}, outside the vocabulary of "
                f"{self.num_categories} categories; give the values that mean 'not labelled' as "
                f"`ignored`, or a `label_map` from raw values to categories"
            )
        return labels_HW.astype(np.int32)


class ColorMapper:
    """Converts the colours of label files into indices of a vocabulary.

    Args:
        colors: RGB triple -> index or IGNORE.

    >>> import numpy as np
    >>> ColorMapper({(9, 0, 0): 0, (0, 0, 0): -1})(np.array([[[9, 0, 0], [0, 0, 0]]]), "a").tolist()
    [[0, -1]]
    """

    def __init__(self, colors: Mapping[tuple[int, int, int], int]) -> None:
        packed = {(r << 16) + (g << 8) + b: index for (r, g, b), index in colors.items()}
        self.packed_N = np.array(sorted(packed), np.int32)
        self.index_N = np.array([packed[key] for key in sorted(packed)], np.int32)

    def __call__(self, raw_HW3: NDArray[np.uint8], where: str) -> NDArray[np.int32]:
        """Indices or IGNORE, int32 (H, W).

        Raises:
            ValueError: a colour that is none of the palette's; names `where`, colours and counts.
        """
        red, green, blue = np.moveaxis(raw_HW3.astype(np.int32), -1, 0)
        packed_HW = (red << 16) + (green << 8) + blue
        place_HW = np.searchsorted(self.packed_N, packed_HW).clip(max=len(self.packed_N) - 1)
        unknown_HW = self.packed_N[place_HW] != packed_HW
        if unknown_HW.any():
            values, counts = np.unique(packed_HW[unknown_HW], return_counts=True)
            listed = ", ".join(
                f"{[v >> 16, v >> 8 & 255, v & 255]} ({n} pixels)"
                for v, n in zip(values[:5].tolist(), counts[:5])
            )
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            raise ValueError(
                f"label map {where} holds the colours {listed}{more}, which the palette lacks; add "
                f"them to a class, or to its 'ignored' where they mean 'not labelled'"
            )
        return self.index_N[place_HW]


def category_key(name: str) -> frozenset[str]:
    """What two names must share to be the same category: any synonym, case and spaces aside.

    >>> category_key("Sofa,  couch") & category_key("COUCH")
    frozenset({'couch'})
    """
    return frozenset(" ".join(part.split()).casefold() for part in split_synonyms(name))


def seen_mask(names: Sequence[str], seen: Sequence[str]) -> NDArray[np.bool_]:
    """Which of T names are in the list of seen ones, by `category_key`; bool (T,)."""
    known = frozenset().union(*map(category_key, seen))
    return np.array([bool(category_key(name) & known) for name in names], dtype=bool)


def class_index(owner: str | int, names: Sequence[str], where: str) -> int:
    """The class that a config names, by index or by name.

    Raises:
        ValueError: there is none; names `where`.
    """
    if isinstance(owner, str):
        return find_class(owner, names, "the config", where)
    if 0 <= owner < len(names):
        return int(owner)
    raise ValueError(f"{where} names class {owner}, outside the {len(names)} classes")


def find_class(entry: Any, names: Sequence[str], where: str, what: str) -> int:
    """The class that an entry means: its full name, or one of its synonyms.

    Raises:
        ValueError: there is none; with the closest names.
    """
    if not isinstance(entry, str):
        raise ValueError(f"{where}: {what} lists names of classes, got {entry!r}")
    wanted = " ".join(entry.split())
    if wanted in names:
        return list(names).index(wanted)
    key = category_key(entry)
    found = [i for i, name in enumerate(names) if key & category_key(name)]
    if len(found) != 1:
        close = difflib.get_close_matches(wanted, names, n=2)
        several = f"several classes ({', '.join(repr(names[i]) for i in found)})"
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"{where}: {what} names {entry!r}, which is {several if found else 'no class'}"
            f"{'' if found else hint}"
        )
    return found[0]
