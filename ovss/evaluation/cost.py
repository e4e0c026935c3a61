"""Time and memory of an evaluation: progress lines while it runs, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import torch


@dataclass(frozen=True)
class Cost:
    """Time and memory that one evaluation took.

    Args:
        started: start of the first session (UTC, ISO 8601).
        ended: end of the last session (UTC, ISO 8601).
        seconds: wall-clock seconds over all sessions; each counts as long as its slowest rank.
        sessions: number of sessions; 1 if the run was never resumed.
        ranks: number of ranks in the last session.
        images: number of images in the dataset.
        peak_memory: bytes of the largest rank: ``resident``, and ``gpu`` if a GPU was used.
    """

    started: str
    ended: str
    seconds: float
    sessions: int
    ranks: int
    images: int
    peak_memory: dict[str, int]


def largest(peaks: Sequence[dict[str, int]]) -> dict[str, int]:
    """Maximum over ranks, for each kind of memory."""
    return {kind: max(peak[kind] for peak in peaks) for kind in peaks[0]}


def reset_memory_peak() -> None:
    """Resets the GPU memory peak; the peak of the resident set cannot be reset."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def memory_peak() -> dict[str, int]:
    """Peak memory of this rank in bytes: its resident set, and GPU memory as PyTorch counts it."""
    peak = {}
    if sys.platform != "win32":
        import resource

        # ru_maxrss is in bytes on macOS and in KiB on Linux
        unit = 1 if sys.platform == "darwin" else 1 << 10
        peak["resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak


def utc_now() -> str:
    """Current time in UTC as ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Progress:
    """Reports every few seconds how many images are done and how long the rest will take.

    Args:
        total: number of images in the dataset.
        before: number of images that earlier sessions counted.
        ranks: number of ranks that share the rest; all are assumed to be as fast as this one.
        every: seconds between two lines.
        say: function that prints or logs a line.
    """

    def __init__(
        self, total: int, before: int, ranks: int, every: float, say: Callable[[str], object]
    ) -> None:
        self.total, self.before, self.ranks, self.every, self.say = total, before, ranks, every, say
        self.start = self.last = time.perf_counter()

    def step(self, done: int) -> None:
        """Reports progress if a line is due, after `done` images of this rank."""
        now = time.perf_counter()
        if now - self.last >= self.every and done:
            self.last = now
            self.say(self.line(done, now - self.start))

    def line(self, done: int, seconds: float) -> str:
        """Progress line after this rank evaluated `done` images in `seconds`."""
        all_done = min(self.total, self.before + done * self.ranks)
        per_image = seconds / (done * self.ranks)
        left = (self.total - all_done) * per_image
        return (
            f"{all_done:,} of {self.total:,} images ({100 * all_done / self.total:.1f} %), "
            f"{per_image:.3f} s per image, {duration(left)} left"
        )


def duration(seconds: float) -> str:
    """Time span as hours, minutes and seconds.

    >>> duration(75), duration(7262)
    ('1:15', '2:01:02')
    """
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
