"""Lookup tables from raw label values to class indices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .label_files import read_indices
from .recipe import ConvertedLabels, Item, LabelError, Labels

__all__ = ["Table", "index_maps", "load_table", "load_text"]

DATA = Path(__file__).parent / "data"
_IMPOSSIBLE = -1
_VALUES = 1 << 16


class Table:
    """Lookup table that rejects raw values that official files cannot contain.

    Args:
        pairs: class index of each raw value.
        ignore: value that is written for "unlabelled", 255 or 65535.
        unlabelled: raw values that become `ignore`.
        hint: explanation for other values, appended to the error message.
    """

    def __init__(
        self, pairs: Mapping[int, int], ignore: int, unlabelled: Iterable[int], hint: str
    ) -> None:
        self.lookup = np.full(_VALUES, _IMPOSSIBLE, np.int32)
        self.lookup[list(unlabelled)] = ignore
        self.lookup[list(pairs)] = list(pairs.values())
        self.dtype = np.uint8 if ignore == 255 else np.uint16
        self.hint = hint

    def __call__(self, raw_HW: Labels, where: Path) -> Labels:
        """Maps raw values to class indices or the ignored value, (H, W) uint8 or uint16.

        Args:
            raw_HW: raw label values.
            where: file that an error message names.

        Raises:
            LabelError: a value is not in the table. The message gives the file, the values and
                their pixel counts.
        """
        if raw_HW.dtype in (np.uint8, np.uint16):
            out = self.lookup[raw_HW]
        else:
            inside = (raw_HW >= 0) & (raw_HW < _VALUES)
            out = np.where(inside, self.lookup[np.where(inside, raw_HW, 0)], _IMPOSSIBLE)
        if out.min(initial=0) == _IMPOSSIBLE:
            values, counts = np.unique(raw_HW[out == _IMPOSSIBLE], return_counts=True)
            listing = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values[:5], counts[:5]))
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            raise LabelError(f"{where} contains the unexpected values {listing}{more}. {self.hint}")
        return out.astype(self.dtype)


def index_maps(make_table: Callable[[], Table]) -> Callable[[Item], ConvertedLabels]:
    """Conversion function for 8-bit label maps; the table is created on first use."""
    table = cache(make_table)
    return lambda item: ConvertedLabels(table()(read_indices(item.label), item.label))


@cache
def load_table(name: str) -> dict[str, Any]:
    """Reads a bundled table: `pairs` as a dict raw value -> class, and the file's other entries."""
    content = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return {**content, "pairs": dict(content["pairs"])}


@cache
def load_text(name: str) -> tuple[str, ...]:
    """Reads the entries of a bundled list."""
    return tuple((DATA / name).read_text("utf-8").split())
