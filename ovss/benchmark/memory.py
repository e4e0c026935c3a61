"""Peak memory of a call, above what was held before it."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ovss.io.memory import resident_bytes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


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
    the whole process, as Linux reports it, so measure each implementation in its own process. Time
    calls elsewhere if it matters: memory that goes back to the system at once has to be asked for.

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
    with _blocks_freed_at_once():
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
    if (trim := _c_function("malloc_trim")) is not None:
        trim(0)


@contextmanager
def _blocks_freed_at_once() -> Iterator[None]:
    """While open, freed blocks go back to the system, except small ones.

    Otherwise the C library keeps blocks for later ones, which often have other sizes and need new
    memory: the peak of one call, of 7 MiB at a time, was between 12 and 23 MiB.
    """
    mallopt = _c_function("mallopt")
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, 64 << 10)
    mallopt(_M_TRIM_THRESHOLD, 128 << 10)
    try:
        yield
    finally:  # the values that glibc reaches after large blocks were freed
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _c_function(name: str) -> Callable[..., int] | None:
    """Function of the C library, where that is glibc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _resident(field: str) -> int:
    size = resident_bytes(field)
    if size is None:
        raise OSError(f"Expected a line {field} in /proc/self/status, found none")
    return size
