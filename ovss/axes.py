"""Checking and slicing records by the axes in their field names: ``cost_BKDhw`` has five.

The axes of a field are the characters after the last underscore of its name. A letter, upper or
lower case, stands for a length that must be the same in the whole record. A digit stands for that
fixed length. A field that holds a tuple of tensors declares the axes they share with `leading`.

>>> from dataclasses import dataclass
>>> import torch
>>> @dataclass
... class Pair:
...     left_BC: torch.Tensor
...     right_BC: torch.Tensor
>>> check_axes(Pair(torch.zeros(2, 3), torch.zeros(2, 4)))
Traceback (most recent call last):
ValueError: Pair.right_BC has shape (2, 4): C is 4 here but 3 in left_BC.
>>> take(Pair(torch.zeros(2, 3), torch.zeros(2, 3)), B=slice(0, 1)).right_BC.shape
torch.Size([1, 3])
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import Field, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

__all__ = ["check_axes", "leading", "take", "with_tensors"]

_AXES = re.compile(r"_([A-Za-z0-9]+)$")
_LEADING = "leading axes"
Record = TypeVar("Record")


def leading(axes: str) -> Any:
    """Dataclass field for a tuple of tensors that share their leading axes; empty by default.

    Args:
        axes: letters of the leading axes, such as ``"B"`` for (B, level_dim, h, w).
    """
    return field(default=(), metadata={_LEADING: axes})


def check_axes(record: Any, **known: int) -> None:
    """Checks every tensor of a dataclass against the axes in its field name.

    Args:
        record: dataclass instance. Fields without tensors are skipped.
        known: lengths of axes that are known in advance, such as ``T=150``.

    Raises:
        ValueError: a wrong number of axes, or two lengths for one axis. The message names the
            record, the field, the axis and the field with the other length.
    """
    lengths = {axis: (size, "its selection or arguments") for axis, size in known.items()}
    for spec in fields(record):
        for value in _tensors(getattr(record, spec.name)):
            axes, exact = _axes_of(spec)
            if axes:
                _check_tensor(value, axes, exact, f"{type(record).__name__}.{spec.name}", lengths)


def take(record: Record, **index: Any) -> Record:
    """Slices a record, and the records inside it and in its tuples, along named axes.

    Args:
        record: dataclass instance.
        index: slice or 1-D index tensor per axis, such as ``B=slice(i, i + 1)`` for one image.

    Returns:
        A record of the same type. Fields without the axis are shared with `record`.

    Raises:
        ValueError: an axis that no field has.
    """
    for axis, part in index.items():
        sliced = _take(record, axis, part)
        if sliced is record:
            raise ValueError(f"{type(record).__name__} has no field with the axis {axis}.")
        record = sliced
    return record


def _take(value: Any, axis: str, part: Any) -> Any:
    """Slices along one axis. It returns `value` itself if no field has the axis."""
    changes: dict[str, Any] = {}
    stale: dict[str, None] = {}
    for spec in fields(value):
        old = getattr(value, spec.name)
        axes, _ = _axes_of(spec)
        if is_dataclass(old):
            new = _take(old, axis, part)
        elif isinstance(old, tuple) and any(map(is_dataclass, old)):
            new = tuple(_take(item, axis, part) for item in old)
            new = old if all(a is b for a, b in zip(new, old, strict=True)) else new
        elif axis in axes and isinstance(old, Tensor):
            new = old[(slice(None),) * axes.index(axis) + (part,)]
        elif axis in axes and isinstance(old, tuple) and old and isinstance(old[0], int):
            # Numbers on the host follow a slice; a tensor of indices may lie on a device.
            new = old[part] if isinstance(part, slice) else None
        elif axes and isinstance(old, tuple) and old and isinstance(old[0], int):
            stale[spec.name] = None  # they may count along the axis that is sliced
            continue
        elif axis in axes and isinstance(old, tuple) and old:
            new = tuple(x[(slice(None),) * axes.index(axis) + (part,)] for x in old)
        else:
            continue
        if new is not old:
            changes[spec.name] = new
    return replace(value, **changes, **stale) if changes else value


def with_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A tensor, a record or a tuple of these, with a function applied to every tensor.

    Args:
        value: tensor, dataclass instance or tuple; other values are returned unchanged.
        function: function from a tensor to its replacement. Records that it leaves as they are
            keep their identity.

    >>> import torch
    >>> with_tensors((torch.zeros(1), 3), lambda x: x + 1)
    (tensor([1.]), 3)
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, tuple):
        new = tuple(with_tensors(item, function) for item in value)
        return value if all(a is b for a, b in zip(new, value, strict=True)) else new
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for spec in fields(value):
        old = getattr(value, spec.name)
        new_value = with_tensors(old, function) if spec.init else old
        if new_value is not old:
            changes[spec.name] = new_value
    return replace(value, **changes) if changes else value


def _axes_of(spec: Field) -> tuple[str, bool]:
    """Axes of a field, and True if the tensor must not have others."""
    if _LEADING in spec.metadata:
        return spec.metadata[_LEADING], False
    match = _AXES.search(spec.name)
    return (match.group(1), True) if match else ("", False)


def _tensors(value: Any) -> tuple[Tensor, ...]:
    if isinstance(value, tuple):
        return tuple(x for x in value if isinstance(x, Tensor))
    return (value,) if isinstance(value, Tensor) else ()


def _check_tensor(
    value: Tensor, axes: str, exact: bool, where: str, lengths: dict[str, tuple[int, str]]
) -> None:
    if value.ndim != len(axes) if exact else value.ndim < len(axes):
        raise ValueError(
            f"{where} has shape {tuple(value.shape)}, expected {len(axes)} axes ({axes})"
            + ("." if exact else " or more.")
        )
    for axis, size in zip(axes, value.shape, strict=False):
        expected, source = lengths.setdefault(axis, (size, where.rpartition(".")[2]))
        if axis.isdigit():
            expected, source = int(axis), "its name"
        if size != expected:
            raise ValueError(
                f"{where} has shape {tuple(value.shape)}: {axis} is {size} here "
                f"but {expected} in {source}."
            )
