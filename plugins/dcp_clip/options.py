"""Arguments, checked when a component is built."""

from __future__ import annotations

from typing import Any

__all__ = ["at_least", "one_of"]


def one_of(owner: str, name: str, value: Any, known: tuple[Any, ...]) -> Any:
    """`value`, if it is known.

    Raises:
        ValueError: naming the component, the argument and what may be chosen.
    """
    if value not in known:
        choices = ", ".join(map(repr, known))
        raise ValueError(f"{owner}: {name} must be one of {choices}, got {value!r}")
    return value


def at_least(owner: str, low: float, **values: float) -> None:
    """Every value is a number of at least `low`.

    Raises:
        ValueError: naming the component and the argument.
    """
    for name, value in values.items():
        if not value >= low:  # a NaN is refused too
            raise ValueError(f"{owner}: {name} must be at least {low}, got {value!r}")
