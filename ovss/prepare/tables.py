"""Raw label values -> class indices, by tables kept as data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .label_files import read_indices
from .recipe import Converted, Item, LabelError, Labels

__all__ = ["Table", "index_maps", "load_table", "load_text"]

DATA = Path(__file__).parent / "data"
_IMPOSSIBLE = -1
_VALUES = 1 << 16


class Table:
    """A lookup of raw values that refuses what the official files cannot hold.

    Args:
        pairs: raw value -> class index.
        ignore: what is written for "not labelled", 255 or 65535.
        unlabelled: raw values that become `ignore`.
        hint: what a value outside both means, for the error.
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
        """Class indices or the ignored value, (H, W) uint8 or uint16.

        Raises:
            LabelError: values that are in no list; names the file, the values and pixel counts.
        """
        if raw_HW.dtype in (np.uint8, np.uint16):
            out = self.lookup[raw_HW]
        else:
            inside = (raw_HW >= 0) & (raw_HW < _VALUES)
            out = np.where(inside, self.lookup[np.where(inside, raw_HW, 0)], _IMPOSSIBLE)
        if out.min(initial=0) == _IMPOSSIBLE:
            values, counts = np.unique(raw_HW[out == _IMPOSSIBLE], return_counts=True)
            told = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values[:5], counts[:5]))
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            raise LabelError(
                f"{where}: holds {told}{more}, which no official file does. {self.hint}"
            )
        return out.astype(self.dtype)


def index_maps(make_table: Callable[[], Table]) -> Callable[[Item], Converted]:
    """The conversion of 8-bit index maps by one table, which is made when it is first needed."""
    table = cache(make_table)
    return lambda item: Converted(table()(read_indices(item.label), item.label))


@cache
def load_table(name: str) -> dict[str, Any]:
    """A table of this package: `pairs` as raw -> class, and what else its file holds."""
    content = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return {**content, "pairs": dict(content["pairs"])}


@cache
def load_text(name: str) -> tuple[str, ...]:
    """The lines of a list of this package, blank ones left out."""
    return tuple((DATA / name).read_text("utf-8").split())
