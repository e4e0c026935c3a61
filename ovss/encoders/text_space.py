"""Text embeddings of one space: parts in memory and in files, and the place of each name."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from .text_files import TextPart, prune, read_names, read_text_file, write_text_file

__all__ = ["TextSpace", "is_mapped", "open_files", "store_part"]

_warned: set[Path] = set()


@dataclass
class TextSpace:
    """Parts of one space, and the place of each name in them.

    Files whose names were not needed yet are closed: their names are known, their numbers are not
    checked.
    """

    parts: list[TextPart] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    closed: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, part: TextPart) -> None:
        """Adds a part; names that are known already keep their place."""
        self.parts.append(part)
        self.versions.append(part.embeds_NPC._version)
        for row, key in enumerate(part.keys):
            self.places.setdefault(key, (len(self.parts) - 1, row))

    def forget_changed(self) -> None:
        """Forgets everything if a tensor was modified in place since it was stored."""
        now = [part.embeds_NPC._version for part in self.parts]
        if now != self.versions:
            self.__init__()  # type: ignore[misc]


def is_mapped(tensor: Tensor) -> bool:
    """True if a tensor is a part of a larger one, as the embeddings in a mapped file are."""
    return tensor.untyped_storage().nbytes() > tensor.nbytes


def open_files(folder: Path, space: str, keys: Sequence[str], known: TextSpace) -> None:
    """Opens the files of a space that hold a name which is not known yet."""
    for path in sorted(folder.glob("*.safetensors")):
        if path not in known.files and path not in known.closed:
            names = _read_or_delete(path, read_names, path)
            if names is not None:
                known.closed[path] = names
    wanted = set(keys) - known.places.keys()
    for path, names in [*known.closed.items()]:
        if not wanted.isdisjoint(names):
            del known.closed[path]
            part = _read_or_delete(path, read_text_file, path, space)
            if part is not None:
                known.add(part)
                known.files.add(path)
                wanted.difference_update(part.keys)


def _read_or_delete(path: Path, read: Callable[..., Any], *args: Any) -> Any:
    """Result of reading a file; None if it is gone, or damaged and deleted with a warning."""
    try:
        return read(*args)
    except FileNotFoundError:  # deleted by another process
        return None
    except Exception as error:  # the reader raises many kinds for a bad file
        warnings.warn(
            f"The cached text embeddings {path} are corrupt ({error}) and will be computed again.",
            stacklevel=2,
        )
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def store_part(folder: Path, space: str, part: TextPart, limit: int) -> Path | None:
    """Writes a part and returns its file; None, with one warning, if the folder refuses.

    Args:
        folder: folder of all spaces.
        space: digest of the space.
        part: embeddings to write.
        limit: bytes that all files in the folder may need.
    """
    try:
        path = write_text_file(folder / space[:32], space, part.keys, part.embeds_NPC)
        prune(folder, limit)
        return path
    except OSError as error:
        if folder not in _warned:
            _warned.add(folder)
            warnings.warn(
                f"Text embeddings cannot be cached in {folder} ({error}), so every run computes "
                f"them again. Set OVSS_CACHE_DIR to a writable folder, or to 'off'.",
                stacklevel=2,
            )
        return None
