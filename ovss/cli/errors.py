"""Errors as one line for the terminal. Imports nothing heavy."""

from __future__ import annotations

import re

from ovss.io.excerpts import one_line

from .options import is_out_of_memory, is_worker_lost

__all__ = ["INPUT_ERRORS", "describe", "notes_of"]

INPUT_ERRORS = (ValueError, TypeError, LookupError, OSError, ImportError, FloatingPointError)
"""Exceptions for wrong input. Their messages say what to do, so the traceback is left out."""

_IN_WORKER = re.compile(r"Caught (\w+) in DataLoader worker process \d+\.")
_CLASS = re.compile(r"^[\w.]+: ")
_BYTES = re.compile(r"tried to allocate (\d+) bytes")
_SIGNAL = re.compile(r"killed by signal: ([\w ]+?)\.")


def describe(error: BaseException) -> str:
    """One line for an exception, with its notes; unexpected ones name the flag that shows more."""
    text, notes = _described(error), " ".join(notes_of(error))
    return one_line(f"{text}{'' if text.endswith('.') else '.'} {notes}" if notes else text)


def notes_of(error: BaseException) -> list[str]:
    """Notes attached to an error."""
    return list(vars(error).get("__notes__", ()))


def _described(error: BaseException) -> str:
    text = _message(error)
    if is_worker_lost(error):
        signal = _SIGNAL.search(text)
        how = f"was ended by the signal {signal[1]!r}" if signal else "ended unexpectedly"
        return f"A process that loads data {how}, probably because memory ran out"
    if text and (isinstance(error, INPUT_ERRORS) or _raised_here(error)):
        return text
    if is_out_of_memory(error):
        return f"out of memory ({_of_memory(text)}). Use smaller images, or compute less at once"
    caught = _IN_WORKER.match(str(error))
    kind = caught[1] if caught else type(error).__name__
    return f"{kind}: {text} (--debug shows where)"


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    is_key = isinstance(error, KeyError) and error.args  # str() of a KeyError is quoted
    text = str(error.args[0] if is_key else error)
    return " ".join(_without_traceback(text).split())


def _without_traceback(text: str) -> str:
    """Message of an error of a data loader's process, which torch replaces by its traceback."""
    if not _IN_WORKER.match(text):
        return text
    lines = text.rstrip().splitlines()
    indented = [i for i, line in enumerate(lines[:-1]) if line.startswith("  ")]
    raised = " ".join(lines[indented[-1] + 1 :] if indented else lines[-1:])
    return _CLASS.sub("", raised)


def _of_memory(text: str) -> str:
    """Message about memory, without the place in the source code of torch."""
    size = _BYTES.search(text)
    if size is None:
        return text or "no further memory can be allocated"
    return f"{int(size[1]) / 2**30:.2f} GiB could not be allocated"


def _raised_here(error: BaseException) -> bool:
    """True for a RuntimeError that ovss or an installed plugin raised itself."""
    if not isinstance(error, RuntimeError):
        return False
    frame = error.__traceback__  # outermost; the last of the chain is where it was raised
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = frame.tb_frame.f_globals.get("__name__", "") if frame else ""
    if module.partition(".")[0] == "ovss":
        return True
    from ovss.models.plugins import is_in_plugin

    return is_in_plugin(module)
