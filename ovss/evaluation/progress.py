"""How far an evaluation is, in words."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress"]


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
