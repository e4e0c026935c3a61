"""Number of rows computed at a time, chosen by measurement while the rows are computed.

With few rows at a time, weights are read again for every portion; with many, the results of one
operator no longer fit the cache of the next. No extra work is done to measure: until a size is
chosen, the portions of the work at hand have different sizes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .choices import Choice
from .operation import MARGIN, keep_choice, known_choice, size_class
from .settings import is_tuning

__all__ = ["Portions", "equal_slices", "split_rows"]

_TURNS = 3  # of each size; the first does not count, because kernels are measured in it
_FACTORS = (0.25, 0.5, 1, 2, 4)


@dataclass
class _Trial:
    """Measurements of one class of rows.

    Args:
        sizes: sizes to try.
        default: size without measurement.
        seconds: time of a row, each time that a size was tried.
    """

    sizes: tuple[int, ...]
    default: int
    seconds: dict[int, list[float]] = field(default_factory=dict)

    def next_size(self, left: int) -> int:
        """Size for the next portion: the least tried one of those that fit."""
        fitting = [size for size in self.sizes if size <= left] or [left]
        return min(fitting, key=lambda size: len(self.seconds.get(size, ())))

    def choice(self) -> Choice | None:
        """The fastest size; None until each was tried often enough."""
        if any(len(self.seconds.get(size, ())) < _TURNS for size in self.sizes):
            return None
        best = {str(size): max(min(self.seconds[size][1:]), 1e-12) for size in self.sizes}
        fixed = str(self.default)
        fastest = min(best, key=best.__getitem__)
        if best[fastest] > MARGIN * best[fixed]:
            fastest = fixed
        return Choice(fastest, best, fixed)


class Portions:
    """Divides rows into portions for one loop.

    Args:
        name: name of the loop in lists and in the file of choices.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._trials: dict[str, _Trial] = {}
        self._part: float | None = None

    def __call__(self, total: int, default: int, shape: tuple[object, ...]) -> Iterator[slice]:
        """Slices of `total` rows, to be processed one after the other.

        Args:
            total: number of rows.
            default: number of rows at a time without measurement. A quarter to four times of it
                is tried.
            shape: class of the rows: numbers by which the fastest size may differ.
        """
        if torch.compiler.is_compiling():
            yield from equal_slices(0, total, default)
            return
        sizes = tuple(sorted({round(default * factor) for factor in _FACTORS} - {0}))
        sizes = tuple(size for size in sizes if size <= total)
        if not is_tuning() or default not in sizes or len(sizes) < 2:
            yield from equal_slices(0, total, default)
            return
        text = " ".join(map(str, (size_class(total), default, *shape, torch.get_num_threads())))
        known = known_choice(self.name, text)
        if known is not None and known.seconds.keys() == {str(size) for size in sizes}:
            yield from equal_slices(0, total, int(known.kernel))
            return
        yield from self._measured(
            total, text, self._trials.setdefault(text, _Trial(sizes, default))
        )

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Part of a portion whose time counts instead of that of the whole portion.

        Use it where the rest of the time depends on the content of the rows.
        """
        begin = time.perf_counter()
        yield
        self._part = (self._part or 0.0) + time.perf_counter() - begin

    def _measured(self, total: int, shape: str, trial: _Trial) -> Iterator[slice]:
        start = 0
        while start < total:
            size = trial.next_size(total - start)
            begin, self._part = time.perf_counter(), None
            yield slice(start, start + size)
            seconds = time.perf_counter() - begin if self._part is None else self._part
            if size in trial.sizes:
                trial.seconds.setdefault(size, []).append(seconds / size)
            start += size
            choice = trial.choice()
            if choice is not None:
                keep_choice(self.name, shape, choice)
                self._trials.pop(shape, None)
                yield from equal_slices(start, total, int(choice.kernel))
                return


def split_rows(table: Any, size: int) -> Iterable[Tensor]:
    """Parts of at most `size` rows of a table; the table itself in a compiled graph.

    Args:
        table: tensor, or rows in a file with its method ``split``.
        size: largest number of rows of a part.
    """
    parts: Iterable[Tensor] = (table,) if torch.compiler.is_compiling() else table.split(size)
    return parts


def equal_slices(start: int, total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows from `start` to `total`; a single one in a compiled graph.

    A graph has no loop over a number of rows that it learns when it runs.

    >>> list(equal_slices(2, 7, 3))
    [slice(2, 5, None), slice(5, 7, None)]
    """
    if torch.compiler.is_compiling():
        yield slice(start, total)
        return
    for first in range(start, total, size):
        yield slice(first, min(first + size, total))
