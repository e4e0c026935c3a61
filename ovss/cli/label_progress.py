"""Progress of `ovss label`: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

__all__ = ["ImageProgress"]

SECONDS = 30.0
"""Seconds between two lines where the output is not a terminal."""


class ImageProgress:
    """Counts images and shows images per second, what is left, and the time that it takes.

    Args:
        total: number of images to label.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._started = self._shown = time.monotonic()
        self._bar = tqdm(total=total, unit="image", disable=None, leave=False)

    def add(self, count: int) -> None:
        """Adds images; a negative number takes images of a lost shard back."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._bar.disable and now - self._shown >= SECONDS:
            self._shown = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate if rate > 0 else float("inf")
            print(
                f"{self._done:,} of {self._total:,} images, {rate:.2f} a second, "
                f"{left / 3600:.2f} hours left",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Removes the bar."""
        self._bar.close()
