"""Child processes that end when the process that started them ends, even if it is killed."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait

__all__ = ["end_with_parent", "watch_parent"]

_PR_SET_PDEATHSIG = 1
_INTERVAL = 0.5
"""Seconds between two looks at the parent."""


def end_with_parent(parent: int | None = None) -> None:
    """Ends this process as soon as its parent ends. Call it first in a child process.

    On Linux the kernel does this at once, also while the child is inside of a long computation. It
    follows the thread that started the child, so that thread has to live as long as the child is
    needed. On other systems, and for a child of a fork server, a thread watches the parent.

    Args:
        parent: process id of the parent, as the parent knows it; None: that of `multiprocessing`.
            If the parent has ended before this call, the process ends in the call.
    """
    known = multiprocessing.parent_process()
    if parent is None and known is not None:
        parent = known.pid
    is_direct = parent is None or parent == os.getppid()
    if is_direct and _signal_at_end_of_parent():
        if parent is not None and os.getppid() != parent:  # it ended before the request
            os._exit(1)
        return
    if not is_direct and known is None:
        os._exit(1)
    watch_parent()


def watch_parent() -> None:
    """Starts a thread that ends this process within a second after its parent has ended.

    In contrast to `end_with_parent`, the thread that started the child may end before.
    """
    parent, first = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        # siblings may hold the other end of the sentinel, so it alone is not enough
        while os.getppid() == first:
            if parent is None:
                time.sleep(_INTERVAL)
            elif wait([parent.sentinel], _INTERVAL):
                break
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def _signal_at_end_of_parent() -> bool:
    """Asks the kernel to kill this process when its parent ends; False if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        return bool(prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
