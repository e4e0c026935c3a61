"""Search of a source: official folder names, and pairs of image and label files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ovss.io.text import read_utf8

from .recipe import Item, SourceError, SplitFiles

__all__ = ["add", "by_key", "first_existing", "pair", "pair_listed", "read_source_text"]


def first_existing(source: Path, candidates: Sequence[str]) -> Path | None:
    """First of some relative paths that exists in the source, or None."""
    return next((source / name for name in candidates if (source / name).exists()), None)


def read_source_text(path: Path) -> str:
    """Text of an official file, which is UTF-8.

    Raises:
        SourceError: the file is a folder, or not text in UTF-8.
    """
    try:
        return read_utf8(path)
    except ValueError as error:
        raise SourceError(f"{error}, or download the official file again") from None


def by_key(
    folder: Path, ending: str | tuple[str, ...], other: tuple[str, ...] = ()
) -> dict[str, Path]:
    """Files of a folder whose names have a given ending, by the part of the name before it.

    Hidden files are skipped.

    Args:
        folder: folder to search, without its subfolders.
        ending: ending or endings, compared without case. It may be longer than a suffix.
        other: lower-case endings of files to skip although they match `ending`.

    Raises:
        SourceError: two files have the same key.
    """
    files: dict[str, Path] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        lower = entry.name.lower()
        if lower.startswith(".") or (other and lower.endswith(other)) or not entry.is_file():
            continue
        endings = (ending,) if isinstance(ending, str) else ending
        match = next((e for e in endings if lower.endswith(e.lower())), None)
        if match is not None:
            add(files, entry.name[: -len(match)], folder / entry.name)
    return files


def add(files: dict[str, Path], key: str, path: Path) -> None:
    """Adds a file under its key.

    Raises:
        SourceError: another file has the same key.
    """
    if key in files:
        raise SourceError(
            f"two files have the same key {key!r}: {files[key]} and {path}. Remove the one that is "
            f"not part of the official download."
        )
    files[key] = path


def pair(split: str, images: dict[str, Path], masks: dict[str, Path]) -> SplitFiles:
    """Pairs images with label files of the same key; files without a partner are reported."""
    unpaired = [f"image without labels: {images[key]}" for key in images.keys() - masks.keys()]
    unpaired += [f"labels without image: {masks[key]}" for key in masks.keys() - images.keys()]
    items = [
        Item(split, key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())
    ]
    return SplitFiles(items, len(images), len(masks), sorted(unpaired))


def pair_listed(
    split: str, keys: Iterable[str], images: dict[str, Path], masks: dict[str, Path], where: str
) -> SplitFiles:
    """Pairs images with label files for the keys of an official list; other files are ignored.

    Args:
        split: name of the split.
        keys: keys of the list.
        images: image files by key.
        masks: label files by key.
        where: name of the list, for messages.

    Raises:
        SourceError: a key occurs twice in the list.
    """
    keys = list(keys)
    if len(set(keys)) != len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise SourceError(f"{where} contains {twice[0]!r} twice. Use the official list.")
    files = SplitFiles(images=len(images), masks=len(masks))
    for key in sorted(keys):
        missing = [
            kind for kind, paths in (("image", images), ("labels", masks)) if key not in paths
        ]
        if missing:
            files.unpaired.append(f"missing {' and '.join(missing)} of {key}, listed in {where}")
        else:
            files.items.append(Item(split, key, images[key], masks[key]))
    return files
