"""Memory of the image at which a worker died, so that one bad image cannot end every worker.

Some images end the process that reads them, for example because they need more memory than there
is. A worker writes the number of the image that it begins into a file of the shard. The next worker
of the same run finds it there. From then on the shard is computed one image at a time, and an image
at which three such workers died gets a row with an error.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ovss.io.regular import open_regular

from .shard_files import shard_path

__all__ = ["DEATHS", "Attempt"]

DEATHS = 3
"""Workers that an image may end before it is left out."""

_DIGITS = 12


class Attempt:
    """Work on one shard by one worker, which has reserved the shard.

    Args:
        folder: folder of the run.
        shard: number of the shard.
        run: name of the run; deaths in other runs do not count, since a user may have ended those.

    Attributes:
        is_careful: True if an earlier worker of the run died on this shard.
    """

    def __init__(self, folder: Path, shard: int, run: str) -> None:
        path = shard_path(folder, shard)
        self._path = path.with_name(f".{path.stem}.attempt")
        self._deaths, self.is_careful = _earlier(self._path, run)
        head = json.dumps([run, self.is_careful, dict(self._deaths)]).encode() + b"\n"
        self._path.unlink(missing_ok=True)
        self._file = open_regular(self._path, "r+b")
        self._file.write(head)
        self._file.flush()
        self._place = len(head)

    def begin(self, position: int) -> bool:
        """Notes that an image is begun; False if too many workers died at it.

        Args:
            position: number of the image within the shard.
        """
        if self._deaths[position] >= DEATHS:
            return False
        text = f"{position:0{_DIGITS}d}".encode()
        self._file.seek(self._place)
        self._file.write(text)
        self._file.flush()
        return True

    def end(self, finished: bool) -> None:
        """Ends the attempt.

        Args:
            finished: True if the shard is written, False to keep what is known of it.
        """
        self._file.close()
        if finished:
            with suppress(OSError):
                os.unlink(self._path)


def _earlier(path: Path, run: str) -> tuple[Counter[int], bool]:
    """Deaths by position, and whether a worker of this run died here."""
    try:
        with open_regular(path) as file:
            head, _, position = file.read(1 << 16).partition(b"\n")
        name, was_careful, deaths = json.loads(head)
        if name != run or not position:
            return Counter(), False
        counts = Counter({int(key): int(value) for key, value in deaths.items()})
        if was_careful:  # else images were read ahead, and any of them may be the cause
            counts[int(position)] += 1
        return counts, True
    except (OSError, ValueError, TypeError, AttributeError):
        return Counter(), False
