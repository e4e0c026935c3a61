"""Checks of arguments that run when a component is built."""

from __future__ import annotations

from typing import Any

from ovss.io.excerpts import excerpt

__all__ = ["at_least", "one_of"]


def one_of(owner: str, name: str, value: Any, known: tuple[Any, ...]) -> Any:
    """Returns `value` if it is one of the known values.

    Args:
        owner: name of the component.
        name: name of the argument.
        value: value of the argument.
        known: allowed values.

    Raises:
        ValueError: an unknown value.
    """
    if value not in known:
        choices = ", ".join(map(repr, known))
        raise ValueError(
            f"{owner} expects {name} to be one of {choices}, but got {excerpt(value)}. "
            "Choose one of these values."
        )
    return value


def at_least(owner: str, low: float, **values: float) -> None:
    """Checks that every value is a number of at least `low`.

    Args:
        owner: name of the component.
        low: smallest allowed value.
        values: arguments by their name.

    Raises:
        ValueError: a value that is too small, or not a number.
    """
    for name, value in values.items():
        if not value >= low:  # written this way, the test also refuses NaN
            raise ValueError(
                f"{owner} expects {name} of at least {low}, but got {excerpt(value)}. Raise {name}."
            )
