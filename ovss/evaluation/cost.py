"""What an evaluation took: time and memory, over all its processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import torch

__all__ = ["Cost", "memory_peak", "reset_memory_peak", "utc_now"]


@dataclass(frozen=True)
class Cost:
    """Of one evaluation.

    Args:
        started, ended: UTC, ISO 8601; `started` of the first session.
        seconds: wall clock of all sessions, each as long as its slowest process.
        sessions: how often it was begun; 1 without a resume.
        ranks: processes of the last session.
        pictures: of the whole set.
        peak_memory: of the largest process, in bytes: ``resident``, and ``gpu`` where there is one.
    """

    started: str
    ended: str
    seconds: float
    sessions: int
    ranks: int
    pictures: int
    peak_memory: dict[str, int]


def largest(peaks: Sequence[dict[str, int]]) -> dict[str, int]:
    """The most that any process took, of each kind."""
    return {kind: max(peak[kind] for peak in peaks) for kind in peaks[0]}


def reset_memory_peak() -> None:
    """Forget the GPU's peak so far; the resident set's is of the process's whole life."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def memory_peak() -> dict[str, int]:
    """Bytes at the peak: the resident set of this process, and PyTorch's count of the GPU's."""
    peak = {}
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1 << 10
        peak["resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def utc_now() -> str:
    """ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
