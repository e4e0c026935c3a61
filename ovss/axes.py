"""The names are the contract: a field called ``cost_BKDhw`` must have five axes that agree.

Axes are the letters after the last underscore. An upper- or lower-case letter names a length that
must be the same everywhere it occurs in the record, digits a fixed length.

>>> from dataclasses import dataclass
>>> import torch
>>> @dataclass
... class Pair:
...     left_BC: torch.Tensor
...     right_BC: torch.Tensor
>>> check_shapes(Pair(torch.zeros(2, 3), torch.zeros(2, 4)))
Traceback (most recent call last):
ValueError: Pair.right_BC has shape (2, 4): C is 4 here but 3 in left_BC
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from torch import Tensor

_AXES = re.compile(r"_([A-Za-z0-9]+)$")


def check_shapes(record: Any, **known: int) -> None:
    """Check every tensor field of a dataclass against the axes in its name.

    Args:
        record: a dataclass instance; fields that are not tensors are passed over.
        known: lengths fixed from outside, e.g. ``T=150``.

    Raises:
        ValueError: naming the record, the field, the axis and where its other length was seen.
    """
    lengths = {axis: (size, "its selection or arguments") for axis, size in known.items()}
    for spec in fields(record):
        value = getattr(record, spec.name)
        match = _AXES.search(spec.name)
        if not isinstance(value, Tensor) or match is None:
            continue
        axes, where = match.group(1), f"{type(record).__name__}.{spec.name}"
        if value.ndim != len(axes):
            raise ValueError(
                f"{where} has shape {tuple(value.shape)}: expected {len(axes)} axes ({axes})"
            )
        for axis, size in zip(axes, value.shape, strict=True):
            seen, source = lengths.setdefault(axis, (size, spec.name))
            if axis.isdigit():
                seen, source = int(axis), "its name"
            if size != seen:
                raise ValueError(
                    f"{where} has shape {tuple(value.shape)}: {axis} is {size} here "
                    f"but {seen} in {source}"
                )
