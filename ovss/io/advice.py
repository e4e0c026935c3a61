"""Advice that a library error carries, for the running command to put into words.

An error of the library says what was expected, what was found and where, and names no flag: which
flag helps depends on the command. It carries topics of advice instead, and `ovss.cli.advice` has
the sentence of each command for each topic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


@dataclass(frozen=True)
class Advice:
    """Topics of what can be done about an error.

    Args:
        topics: keys of `ovss.cli.advice.ADVICE`, the most useful one first.
        values: what fills the gaps of their sentences.
    """

    topics: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)


def advised(error: E, *topics: str, **values: Any) -> E:
    """Attach advice to an error and return the error, to be raised.

    >>> advice_of(advised(ValueError("no class file"), "classes")).topics
    ('classes',)
    """
    error.advice = Advice(topics, values)  # type: ignore[attr-defined]
    return error


def advice_of(error: BaseException) -> Advice:
    """Advice that an error carries; without topics if it carries none."""
    found = vars(error).get("advice")
    return found if isinstance(found, Advice) else Advice(())
