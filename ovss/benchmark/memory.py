"""Peak memory of a call, above what was held before it."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ovss.io.memory import resident_bytes


@dataclass(frozen=True)
class Peak:
    """Memory and time of a call.

    Args:
        before: bytes held when the call began.
        above: largest number of bytes held in addition during the call.
        seconds: wall-clock time.
        cpu_seconds: processor time of all threads of this process.
    """

    before: int
    above: int
    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        mib = 1 << 20
        return (
            f"peak {self.above / mib:,.0f} MiB above the {self.before / mib:,.0f} MiB held before, "
            f"{self.seconds:,.1f} s ({self.cpu_seconds:,.1f} s of processor time)"
        )


def peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> Peak:
    """Runs `call` once and measures it.

    On a GPU the numbers are those of PyTorch's allocator. On the CPU they are the resident set of
    the whole process, as Linux reports it, so measure each implementation in its own process.

    Raises:
        OSError: on the CPU of a system without Linux's ``/proc/self/clear_refs``.
    """
    gc.collect()
    _release_freed()
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets the recorded peak, VmHWM
        before = _resident("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    return Peak(before, max(0, peak - before), seconds, cpu_seconds)


def _release_freed() -> None:
    """Returns memory to the system that was freed but that the C library still holds.

    The call could reuse such memory without raising the resident set, which would hide its use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _resident(field: str) -> int:
    size = resident_bytes(field)
    if size is None:
        raise OSError(f"Expected a line {field} in /proc/self/status, found none")
    return size
