"""Advice topics attached to library errors; the running command turns them into sentences.

An error of the library says what was expected, what was found and where. It names no flag, because
the flag that helps depends on the command. It carries topics instead, and `ovss.cli.advice` holds
the sentence of each command for each topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


@dataclass(frozen=True)
class Advice:
    """Topics that tell a command which hints to print with an error.

    Args:
        topics: keys of `ovss.cli.advice.ADVICE`, the most useful one first.
        values: values for the placeholders of the sentences.
    """

    topics: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)


def advised(error: E, *topics: str, **values: Any) -> E:
    """Attaches advice to an error and returns the error, so it can be raised.

    >>> advice_of(advised(ValueError("no class file"), "classes")).topics
    ('classes',)
    """
    error.advice = Advice(topics, values)  # type: ignore[attr-defined]
    return error


def advice_of(error: BaseException) -> Advice:
    """Advice that an error carries; it has no topics if nothing was attached."""
    advice = vars(error).get("advice")
    return advice if isinstance(advice, Advice) else Advice(())


_sentences: ContextVar[Callable[[Advice], str]] = ContextVar("sentences", default=lambda advice: "")


def hint(*topics: str, **values: Any) -> str:
    """Sentences of the running command for topics, for warnings; empty outside of commands.

    >>> hint("memory")
    ''
    """
    return _sentences.get()(Advice(topics, values))


@contextmanager
def hints_of(sentences: Callable[[Advice], str]) -> Iterator[None]:
    """Context in which `hint` returns the sentences of a command.

    Args:
        sentences: function that returns the sentences for an advice.
    """
    token = _sentences.set(sentences)
    try:
        yield
    finally:
        _sentences.reset(token)
