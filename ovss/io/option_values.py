"""Checks of option values against the annotations of the function that takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from .annotations import CONFIG, annotations_of, misfit
from .excerpts import excerpt
from .strict_json import MAX_INTEGER

__all__ = ["check_range", "check_values"]


def check_values(function: Callable, values: Mapping[str, Any], where: str) -> None:
    """Checks that values have the types that a function's annotations name.

    The rules are those of `ovss.io.annotations.misfit` for configs.

    Args:
        function: class or function.
        values: keyword arguments; those that the function does not name are skipped.
        where: dotted key or name of the arguments' owner, for messages.

    Raises:
        TypeError: a value of another type.
        ValueError: a number that is NaN, or an integer of more than 64 bits.
    """
    target: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    hints = annotations_of(target)
    for name, value in values.items():
        problem = misfit(value, hints.get(name, Any), f"{where}.{name}", CONFIG)
        if problem:
            raise TypeError(f"{problem}. Correct the value")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise ValueError(
                f"{where}.{name} must be an integer of 64 bits, got {excerpt(value)}. Correct the "
                f"value"
            )
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{where}.{name} must be a number, got NaN. Correct the value")


def check_range(where: str, low: float, high: float = math.inf, **values: Any) -> None:
    """Checks that numbers lie in a closed range; None and NaN are outside of every range.

    Args:
        where: dotted key or name of the numbers' owner, for messages.
        low: smallest number.
        high: largest number.
        values: numbers by name.

    Raises:
        ValueError: a number outside the range, or something else.
    """
    for name, value in values.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            limits = f"{low} to {high}" if high < math.inf else f"at least {low}"
            raise ValueError(
                f"{where}.{name} must be {limits}, got {excerpt(value)}. Correct the value"
            )
