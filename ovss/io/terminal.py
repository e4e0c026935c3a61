"""Output on the terminal: commands print what matters, and the log file has everything.

mmengine logs its environment, the config, its hooks and every metric, more than a thousand lines a
run. Only lines marked by `say`, warnings and errors reach the terminal, unless `verbose_terminal`
is on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TextIO

from .excerpts import one_line

__all__ = ["echo", "limit_terminal", "say", "verbose_terminal"]

_VERBOSE: ContextVar[bool] = ContextVar("verbose terminal", default=False)
_MARK = "for_terminal"
_NOISE = (
    "The prefix is not set in metric class",
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)
"""Warnings of mmengine about its own calls, which nobody can act on. The log file keeps them."""


@contextmanager
def verbose_terminal(is_on: bool = True) -> Iterator[None]:
    """Context in which new loggers print everything on the terminal.

    Args:
        is_on: False makes the context print only what matters.
    """
    token = _VERBOSE.set(is_on)
    try:
        yield
    finally:
        _VERBOSE.reset(token)


def say(logger: logging.Logger, text: str) -> None:
    """Logs a line and prints it on the terminal, without time and level.

    Args:
        logger: logger of mmengine. Loggers of ranks other than the first print only errors.
        text: one or more lines.
    """
    logger.info(text, extra={_MARK: True})


def echo(logger: logging.Logger, text: str) -> None:
    """Prints lines that the log has already, unless the logger prints everything itself.

    Args:
        logger: logger of mmengine. Only the first rank prints.
        text: one or more lines.
    """
    for handler in logger.handlers:
        if isinstance(handler, _TerminalHandler) and handler.level <= logging.INFO:
            handler.write(text, sys.stdout)


def limit_terminal(logger: logging.Logger) -> None:
    """Limits what a logger prints to marked lines, warnings and errors.

    Handlers that write to files are not changed. Inside `verbose_terminal` nothing is.
    """
    if _VERBOSE.get():
        return
    logger.handlers[:] = [
        _like(handler) if type(handler) is logging.StreamHandler else handler
        for handler in logger.handlers
    ]


def _like(handler: logging.Handler) -> logging.Handler:
    """Handler of this module with the level and the filters of another."""
    limited = _TerminalHandler(handler.level)
    limited.filters = list(handler.filters)
    return limited


class _TerminalHandler(logging.Handler):
    """Prints marked lines to standard output, warnings and errors to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            if not any(noise in text for noise in _NOISE):
                self.write(f"{record.levelname.lower()}: {one_line(text)}", sys.stderr)
        elif vars(record).get(_MARK):
            self.write(text, sys.stdout)

    def write(self, text: str, stream: TextIO) -> None:
        """Prints text. If a reader such as `head` has gone, the run and its log file go on."""
        with suppress(OSError):
            print(text, file=stream, flush=True)
