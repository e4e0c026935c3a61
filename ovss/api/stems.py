"""File names of outputs: no two images share one, and no input or foreign file is overwritten.

Several processes may write into one folder: a stem is reserved while its files are made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ovss.io.names import stem_of
from ovss.io.regular import open_regular
from ovss.io.reservations import Reservation, reserve

__all__ = ["Outputs", "image_stem", "unique_stem"]


def unique_stem(
    stem: str, used: set[str], is_taken: Callable[[str], bool] = lambda stem: False
) -> str:
    """Stem with a number added if it is in use.

    Args:
        stem: wanted stem.
        used: stems in use, in lower case, because some file systems ignore case. The result is
            added.
        is_taken: function that returns True for further stems that must not be used.

    >>> used = {"photo"}
    >>> unique_stem("Photo", used), unique_stem("photo", used)
    ('Photo_2', 'photo_3')
    """
    number, candidate = 1, stem
    while candidate.lower() in used or is_taken(candidate):
        number += 1
        candidate = f"{stem}_{number}"
    used.add(candidate.lower())
    return candidate


def image_stem(image: Any, number: int = 1) -> str:
    """Stem for the outputs of an image: that of its path or address, else its number."""
    return stem_of(image) if isinstance(image, str | os.PathLike) else f"image_{number:04d}"


class Outputs:
    """Chooses the stems of output files, each reserved until the next one is chosen.

    Args:
        folder: output folder.
        inputs: all input files of the run.
        files: function that gives the output files of a stem, relative to `folder`.
    """

    def __init__(
        self, folder: Path, inputs: Iterable[Path], files: Callable[[str], Iterable[Path]]
    ) -> None:
        self.folder, self.files = folder, files
        self.inputs = {os.path.realpath(path) for path in inputs}
        self.used: set[str] = set()
        self._reservation: Reservation | None = None

    def stem(self, wanted: str, source: str) -> str:
        """Stem of the outputs of one source.

        Args:
            wanted: stem of the source's own name.
            source: source as its summary records it.

        Raises:
            OSError: the folder cannot be written.
        """
        self.release()
        return unique_stem(wanted, self.used, lambda stem: self._is_taken(stem, source))

    def release(self) -> None:
        """Ends the reservation of the last stem; call it once its files are written."""
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None

    def _is_taken(self, stem: str, source: str) -> bool:
        """True if another process or a foreign file has a stem, which is reserved otherwise."""
        reservation = reserve(self.folder, stem)
        if reservation is None:
            return True
        # after the reservation: another process may have just written the files
        if self._is_foreign(stem, source):
            reservation.release()
            return True
        self._reservation = reservation
        return False

    def _is_foreign(self, stem: str, source: str) -> bool:
        """True if an output would replace an input, or a file that `source` did not lead to."""
        files = [self.folder / file for file in self.files(stem)]
        if any(os.path.realpath(file) in self.inputs for file in files):
            return True
        if not any(os.path.lexists(file) for file in files):
            return False
        summary = self.folder / f"{stem}.json"
        if not summary.exists():
            return True
        try:
            with open_regular(summary, "r") as stream:
                content = json.load(stream)
            return source not in (content.get("image"), content.get("video"))
        except (OSError, ValueError, AttributeError, RecursionError):
            return True
