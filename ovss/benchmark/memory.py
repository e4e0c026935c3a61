"""Peak memory of a call, above what was there before it: the weights."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Peak:
    """What a call took.

    Args:
        before, above: bytes held when it began, and the most that it added.
        seconds: wall-clock time.
        cpu_seconds: processor time of all threads, which others on the machine do not lengthen.
    """

    before: int
    above: int
    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        mib = 1 << 20
        return (
            f"peak {self.above / mib:,.0f} MiB above the {self.before / mib:,.0f} MiB held before, "
            f"{self.seconds:,.1f} s ({self.cpu_seconds:,.1f} s of processor)"
        )


def peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> Peak:
    """Run `call` once.

    On a GPU PyTorch's own count is taken. On the CPU it is the resident set of the whole process
    as Linux counts it, so compare implementations in processes of their own.

    Raises:
        OSError: on the CPU of a system without Linux's ``/proc/self/clear_refs``.
    """
    gc.collect()
    _give_back()
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _resident("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    return Peak(before, max(0, peak - before), seconds, cpu_seconds)


def _give_back() -> None:
    """What the C library holds of freed memory would hide as much of the call's own."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise OSError(f"/proc/self/status has no {field}")
