"""Conversion of raw label values to category indices or IGNORE, once, at load time."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovss.io.excerpts import excerpt
from ovss.selection import IGNORE
from ovss.vocabularies.seen import category_key

_UNKNOWN = -2
_RAW_VALUES = 1 << 16


class LabelValueError(ValueError):
    """Error for a label map with values outside the vocabulary.

    Args:
        problem: file, values and pixel counts.
        values: values or names outside the vocabulary.
        advice: sentence that says what to do, for users of the dataset class.
    """

    def __init__(self, problem: str, values: Sequence[int | str], advice: str) -> None:
        super().__init__(f"{problem}. {advice}")
        self.problem, self.values, self.sentence = problem, tuple(values), advice

    def __reduce__(self) -> tuple[Any, ...]:
        # an exception is pickled by its message alone, which is not what this class is made from
        return type(self), (self.problem, self.values, self.sentence), vars(self)


class LabelMapper:
    """Converts the values of label files to indices into a vocabulary.

    Args:
        num_categories: number of categories in the vocabulary.
        mapping: map from raw values to indices or IGNORE; None: raw values are the indices.
        ignored: raw values that mean "not labelled". A negative value also stands for the value
            that its bits have in an unsigned file (-1 for 255 in 8 bits and 65535 in 16), unless a
            category has that value.

    Raises:
        ValueError: an index is outside the vocabulary, or a raw value does not fit 16 bits.

    >>> import numpy as np
    >>> LabelMapper(3, ignored=(-1,))(np.array([[2, 255]], np.uint8), "a.png").tolist()
    [[2, -1]]
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
        self.negative = tuple(sorted(raw for raw in ignored if raw < 0))
        known = [(raw, IGNORE) for raw in ignored if raw >= 0]
        for raw, index in [*mapping.items(), *known]:
            if not (0 <= raw < _RAW_VALUES and IGNORE <= index < num_categories):
                raise ValueError(
                    f"Raw values must be in 0..65535 and indices in 0..{num_categories - 1} or "
                    f"{IGNORE} to ignore, but the mapping sends raw value {raw} to {index}"
                )
            self.table[raw] = index

    def __call__(self, raw_HW: NDArray[np.integer], where: str) -> NDArray[np.int32]:
        """Converts a label map to indices or IGNORE, int32 (H, W).

        Args:
            raw_HW: raw values.
            where: file of the label map, for messages.

        Raises:
            ValueError: a value is neither in the vocabulary nor ignored; the message gives `where`,
                the values and their pixel counts.
        """
        inside = (raw_HW >= 0) & (raw_HW < _RAW_VALUES)
        labels_HW = np.where(inside, self.table[np.where(inside, raw_HW, 0)], _UNKNOWN)
        if self.negative:
            wrapped = np.array(self.negative)
            if raw_HW.dtype.kind == "u":
                wrapped = wrapped % (1 << 8 * raw_HW.dtype.itemsize)
            labels_HW[(labels_HW == _UNKNOWN) & np.isin(raw_HW, wrapped)] = IGNORE
        if (labels_HW == _UNKNOWN).any():
            values, counts = np.unique(raw_HW[labels_HW == _UNKNOWN], return_counts=True)
            listed = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values[:5], counts[:5]))
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            raise LabelValueError(
                f"Label map {where} holds {listed}{more}, outside the vocabulary of "
                f"{self.num_categories} categories",
                values.tolist(),
                "List values that mean 'not labelled' in `ignored`, or map raw values to "
                "categories with `label_map`",
            )
        return labels_HW.astype(np.int32)


class ColorMapper:
    """Converts the colours of label files to indices into a vocabulary.

    Args:
        colors: map from RGB triples to indices or IGNORE.

    >>> import numpy as np
    >>> ColorMapper({(9, 0, 0): 0, (0, 0, 0): -1})(np.array([[[9, 0, 0], [0, 0, 0]]]), "a").tolist()
    [[0, -1]]
    """

    def __init__(self, colors: Mapping[tuple[int, int, int], int]) -> None:
        packed = {(r << 16) + (g << 8) + b: index for (r, g, b), index in colors.items()}
        self.packed_N = np.array(sorted(packed), np.int32)
        self.index_N = np.array([packed[key] for key in sorted(packed)], np.int32)

    def __call__(self, raw_HW3: NDArray[np.uint8], where: str) -> NDArray[np.int32]:
        """Converts a colour image to indices or IGNORE, int32 (H, W).

        Args:
            raw_HW3: RGB image.
            where: file of the label map, for messages.

        Raises:
            ValueError: a colour is not in the palette; the message gives `where`, the colours and
                their pixel counts.
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
                f"Label map {where} holds the colours {listed}{more}, which are not in the "
                f"palette. Add them to it, or to its 'ignored' if they mean 'not labelled'"
            )
        return self.index_N[place_HW]


def class_index(owner: str | int, names: Sequence[str], where: str) -> int:
    """Returns the index of a class that a config names by index or by name.

    Args:
        owner: index or name of the class.
        names: T class names.
        where: key of the config, for messages.

    Raises:
        ValueError: the class does not exist.
    """
    if isinstance(owner, str):
        return find_class(owner, names, "the config", where)
    if 0 <= owner < len(names):
        return int(owner)
    raise ValueError(f"Class indices in {where} must be in 0..{len(names) - 1}, got class {owner}")


def find_class(entry: Any, names: Sequence[str], where: str, key: str) -> int:
    """Returns the index of the class that has the entry as its full name or as a synonym.

    Args:
        entry: name to look up.
        names: T class names.
        where: file of the entry, for messages.
        key: key of the entry, for messages.

    Raises:
        ValueError: no class or several classes fit; the message gives the closest names.
    """
    if not isinstance(entry, str):
        raise ValueError(f"Expected names of classes in {key} of {where}, got {excerpt(entry)}")
    wanted = " ".join(entry.split())
    if wanted in names:
        return list(names).index(wanted)
    synonyms = category_key(entry)
    found = [i for i, name in enumerate(names) if synonyms & category_key(name)]
    if len(found) > 1:
        listed = ", ".join(excerpt(names[i]) for i in found[:5])
        raise ValueError(
            f"Ambiguous class {excerpt(entry)} in {key} of {where}, which may be {listed}. Write "
            f"the full name"
        )
    if not found:
        close = difflib.get_close_matches(wanted, names, n=2)
        hint = f". Did you mean {' or '.join(map(excerpt, close))}?" if close else ""
        raise ValueError(f"Unknown class {excerpt(entry)} in {key} of {where}{hint}")
    return found[0]
