"""Runs a command as a process, and ends it with the command's exit status."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn


def run_as_process(command: Callable[[], int | None]) -> NoReturn:
    """Runs a command and ends this process with its exit status.

    A rank of a distributed run ends without taking down the interpreter: gloo's threads may still
    release tensors, and a thread that asks for an interpreter which is being taken down aborts the
    process (signal 6) although all work is done. Functions of `atexit` run and streams are flushed
    all the same.

    Args:
        command: runs the command and returns its exit status; None counts as 0.
    """
    try:
        status: object = command()
    except SystemExit as end:
        status = end.code
    except BaseException:
        if not _was_rank():
            raise
        traceback.print_exc()
        status = 1
    if not _was_rank():
        sys.exit(status)  # type: ignore[arg-type]
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()  # closes log files, too
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _was_rank() -> bool:
    """Whether this process has joined a run, as far as that was ever asked of it."""
    distributed = sys.modules.get("ovss.distributed")
    return distributed is not None and distributed.has_joined()
