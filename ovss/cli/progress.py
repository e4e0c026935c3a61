"""Messages about steps that turn out to be slow."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 3.0


@contextmanager
def announced_if_slow(text: str, seconds: float = SECONDS) -> Iterator[None]:
    """Context that prints a line on standard error if its body is not done after a while.

    Args:
        text: line to print.
        seconds: time until it is printed.
    """
    timer = threading.Timer(seconds, lambda: print(text, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def print_note(line: str) -> None:
    """Prints a sentence for the user on standard error."""
    print(f"note: {line}", file=sys.stderr, flush=True)
