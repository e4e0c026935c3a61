"""Runs pytest in forked processes that have the heavy packages imported already.

Importing them takes several seconds, which is most of the time of a short test. The packages of
this repository are not among them, so a fork imports their current files. Requests and answers are
lines of JSON on the standard input and output.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

HEAVY = ("numpy", "torch", "torchvision", "mmcv", "mmengine.runner", "mmseg.datasets")
HEAVY += ("mmseg.evaluation.metrics", "open_clip", "timm", "safetensors.torch", "pytest")
OWN = ("ovss", "ovss_plugins", "ovss_configs")
_POLL = 0.05


def answer(request: dict[str, Any]) -> int | None:
    """Exit status of pytest; None if it was stopped at the time limit.

    Args:
        request: ``arguments`` of pytest, ``output`` file, ``folder`` for temporary files, and
            ``seconds``, the time limit.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ["TMPDIR"], tempfile.tempdir = request["folder"], None
        code = 3
        try:
            code = int(importlib.import_module("pytest").main(request["arguments"]))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    stop = time.monotonic() + request["seconds"]
    try:
        while time.monotonic() < stop:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(_POLL)
        return None
    finally:
        _end(child)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _end(group: int) -> None:
    """Ends what a test left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    """Imports the heavy packages, and then answers requests until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # packages print while they are imported
    for name in HEAVY:
        with suppress(ImportError):
            importlib.import_module(name)
    early = [name for name in OWN if name in sys.modules]
    if early:
        raise RuntimeError(f"{early[0]} was imported before the files are changed")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
