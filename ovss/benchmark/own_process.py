"""Runs a measurement in a process of its own, which ends with the process that started it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from ovss.io.children import end_with_parent

__all__ = ["call_in_process"]


def call_in_process(function: Callable[..., Any], *arguments: Any, subject: str) -> Any:
    """Calls a function in a new process; returns its result.

    Args:
        function: function of a module.
        arguments: arguments that can be pickled.
        subject: what is measured, for messages.

    Raises:
        RuntimeError: the process ended without a result.
        Exception: errors of the function pass through.
    """
    try:
        pool = ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=end_with_parent,
            initargs=(os.getpid(),),
        )
        with pool:
            return pool.submit(function, *arguments).result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"The process that measured {subject} was killed, probably because memory ran out. "
            f"Repeat the measurement with more memory; what was measured before is kept"
        ) from error
