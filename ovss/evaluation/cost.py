"""What an evaluation takes, time and memory: told while it runs, and summed up in the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import torch


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


class Progress:
    """Says every few seconds how many pictures are done and how long the rest will take.

    Args:
        total: pictures of the whole set.
        before: of them, done by earlier sessions.
        ranks: processes that share the rest; each is taken to be as fast as this one.
        every: seconds between two lines.
        say: told each line.
    """

    def __init__(
        self, total: int, before: int, ranks: int, every: float, say: Callable[[str], object]
    ) -> None:
        self.total, self.before, self.ranks, self.every, self.say = total, before, ranks, every, say
        self.start = self.last = time.perf_counter()

    def step(self, done: int) -> None:
        """This process has done so many."""
        now = time.perf_counter()
        if now - self.last >= self.every and done:
            self.last = now
            self.say(self.line(done, now - self.start))

    def line(self, done: int, seconds: float) -> str:
        """One line, after `seconds` in which this process did `done` pictures."""
        everyone = min(self.total, self.before + done * self.ranks)
        each = seconds / (done * self.ranks)
        left = (self.total - everyone) * each
        return (
            f"{everyone:,} of {self.total:,} pictures ({100 * everyone / self.total:.1f} %), "
            f"{each:.3f} s each, {duration(left)} left"
        )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(75), duration(7262)
    ('1:15', '2:01:02')
    """
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
