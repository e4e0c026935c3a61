"""Runs cases in this process: captured output, a time limit, and the state of Python restored."""

from __future__ import annotations

import io
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ovss.cli.main import describe, main
from ovss.models import plugins

from .cases import Box, Call, Case
from .checks import Ending, problems_of
from .files import snapshot

LIMIT = 20.0
"""Seconds of processor time that a case may take."""

_WAITING = 3.0
"""Factor of the limit by the wall clock, for cases that wait; a busy machine makes all slower."""


class HangError(BaseException):
    """A case took too long; not an `Exception`, so that no handler of the library catches it."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a case.

    Args:
        case: the case.
        call: what was called, with the right answers.
        ending: status and output.
        problems: what was wrong; empty if nothing was.
        seconds: processor time it took.
    """

    case: Case
    call: Call
    ending: Ending
    problems: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        command = self.call.run if isinstance(self.call.run, tuple) else (self.case.recipe_name,)
        shown = " ".join(repr(part[:80]) for part in command)
        lines = [f"{self.case.id} ({self.case.recipe_name}): {shown}"]
        lines += [f"    {problem}" for problem in self.problems]
        return "\n".join(lines)


class _Tape:
    """Text stream in the place of the standard output or error, read and emptied per case.

    It is never closed, because loggers keep the stream that they met first.
    """

    def __init__(self) -> None:
        self.stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")

    def read(self) -> str:
        """Returns the text since the last call."""
        self.stream.flush()
        buffer = self.stream.buffer
        assert isinstance(buffer, io.BytesIO)
        text = buffer.getvalue().decode("utf-8", "backslashreplace")
        buffer.seek(0)
        buffer.truncate()
        return text


_OUT, _ERR = _Tape(), _Tape()


def warm_up() -> None:
    """Imports slow modules, so that no time limit falls into their import and leaves half of it."""

    from ovss.training.build import register_training

    register_training()


def run_case(case: Case, base: Path, limit: float = LIMIT, keep: Path | None = None) -> Outcome:
    """Runs one case in a folder of its own.

    Args:
        case: the case.
        base: folder of valid material.
        limit: seconds of processor time after which the case hangs; three times as many by the
            wall clock.
        keep: folder to run in, which stays; None: a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="ovss-fuzz-") as temporary:
        folder = (keep or Path(temporary)).resolve()
        _seed(case.seed)
        call = case.recipe(Box(folder, base, random.Random(case.seed)))
        before = snapshot(folder)
        start = time.process_time()
        with _isolated(folder, call.stdin), _native_output() as native, _packages_read_once():
            status, error = _status(call, limit)
        seconds = time.process_time() - start
        ending = Ending(status, _OUT.read(), _ERR.read(), error, native[0])
        return Outcome(
            case, call, ending, tuple(problems_of(call, ending, folder, before)), seconds
        )


def _seed(seed: str) -> None:
    number = random.Random(seed).getrandbits(32)
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def _status(call: Call, limit: float) -> tuple[int, str]:
    """Exit status of a call; the second value says why there is none (-1)."""
    try:
        with _alarm(limit):
            if isinstance(call.run, tuple):
                return int(main(list(call.run))), ""
            call.run()
            return 0, ""
    except HangError:
        return -1, f"hangs: no answer after {limit:.0f} s"
    except SystemExit as end:
        if isinstance(call.run, tuple) and isinstance(end.code, int):
            return end.code, ""
        return -1, f"raises SystemExit({end.code!r})"
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(call.run, tuple):
            print(f"error: {describe(error)}", file=_ERR.stream)
            return 1, ""
        return -1, f"raises {type(error).__name__}: {str(error)[:200]}"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangError

    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, seconds),
        (signal.ITIMER_REAL, signal.SIGALRM, _WAITING * seconds),
    )
    before = [signal.signal(number, ring) for _, number, _ in timers]
    for timer, _, limit in timers:
        signal.setitimer(timer, limit, 1.0)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for (_, number, _), handler in zip(timers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _isolated(folder: Path, stdin: bytes) -> Iterator[None]:
    """Context with own streams and directory; restores what a case may have changed."""
    streams = sys.stdin, sys.stdout, sys.stderr
    here, environment, path = os.getcwd(), dict(os.environ), list(sys.path)
    largest, argv, modules = Image.MAX_IMAGE_PIXELS, sys.argv, set(sys.modules)
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    sys.stdout, sys.stderr, sys.argv = _OUT.stream, _ERR.stream, ["ovss"]
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(here)
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.path[:], sys.argv, Image.MAX_IMAGE_PIXELS = path, argv, largest
        os.environ.clear()
        os.environ.update(environment)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]


@contextmanager
def _native_output() -> Iterator[list[str]]:
    """Context that collects what compiled libraries write to the file descriptors 1 and 2."""
    collected: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield collected
        finally:
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
            file.seek(0)
            collected.append(file.read().decode("utf-8", "backslashreplace"))


@contextmanager
def _packages_read_once() -> Iterator[None]:
    """Context in which the metadata of installed packages, which never change, are kept.

    Reading them takes a third of the time of a case.
    """
    entry_points, metadata = plugins.entry_points, Distribution.metadata
    plugins.entry_points = _entry_points
    Distribution.metadata = _METADATA  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        plugins.entry_points = entry_points
        Distribution.metadata = metadata  # type: ignore[method-assign]


_entry_points = cache(plugins.entry_points)
_METADATA = property(cache(Distribution.metadata.fget))  # type: ignore[attr-defined]
