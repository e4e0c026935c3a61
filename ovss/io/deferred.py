"""Context in which new modules do not load their pre-trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["weights_are_deferred", "weights_come_later"]

_LATER: ContextVar[bool] = ContextVar("weights come later", default=False)


@contextmanager
def weights_come_later(they_do: bool = True) -> Iterator[None]:
    """Context in which new encoders and backbones do not load their pre-trained weights.

    Use it to build a model whose own weight file, loaded right afterwards, contains them.

    Args:
        they_do: False makes the context do nothing.
    """
    token = _LATER.set(they_do)
    try:
        yield
    finally:
        _LATER.reset(token)


def weights_are_deferred() -> bool:
    """True inside `weights_come_later`."""
    return _LATER.get()
