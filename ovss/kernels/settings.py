"""Switch between kernels chosen by measurement and kernels chosen by a fixed rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["fixed_kernels", "is_tuning", "set_tuning"]

_tuning: bool | None = None  # None: as the environment says


def set_tuning(on: bool | None) -> None:
    """Turns the choice by measurement on or off for this process.

    Args:
        on: None to follow the environment variable ``OVSS_TUNE`` again, which is on unless it is
            ``off``, ``0`` or ``no``.
    """
    global _tuning
    _tuning = on


def is_tuning() -> bool:
    """True if kernels are chosen by measurement."""
    if torch.compiler.is_compiling():
        return False
    if _tuning is not None:
        return _tuning
    return os.environ.get("OVSS_TUNE", "on").strip().lower() not in ("off", "0", "no")


@contextmanager
def fixed_kernels() -> Iterator[None]:
    """Chooses kernels by the fixed rule within a ``with`` block."""
    before = _tuning
    set_tuning(False)
    try:
        yield
    finally:
        set_tuning(before)
