"""File names of outputs: no two images share one, and no input or foreign file is overwritten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ovss.io.names import stem_of

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
    """Chooses the stems of output files.

    Args:
        folder: output folder.
        inputs: all input files of the run.
        files: function that gives the output files of a stem, relative to `folder`.
    """

    def __init__(
        self, folder: Path, inputs: Iterable[Path], files: Callable[[str], Iterable[Path]]
    ) -> None:
        self.folder, self.files = folder, files
        self.inputs = {path.resolve() for path in inputs}
        self.used: set[str] = set()

    def stem(self, wanted: str, source: str) -> str:
        """Stem of the outputs of one source.

        Args:
            wanted: stem of the source's own name.
            source: source as its summary records it.
        """
        return unique_stem(wanted, self.used, lambda stem: self._is_foreign(stem, source))

    def _is_foreign(self, stem: str, source: str) -> bool:
        """True if an output would replace an input, or a file that `source` did not lead to."""
        files = [self.folder / file for file in self.files(stem)]
        if any(file.resolve() in self.inputs for file in files):
            return True
        if not any(file.exists() for file in files):
            return False
        summary = self.folder / f"{stem}.json"
        if not summary.exists():
            return True
        try:
            content = json.loads(summary.read_text("utf-8"))
            return source not in (content.get("image"), content.get("video"))
        except (OSError, ValueError, AttributeError):
            return True
