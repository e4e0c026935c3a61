"""Looking at a source: folders by their official names, pictures beside their labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .recipe import Found, Item, SourceError

__all__ = ["add", "by_key", "first_existing", "listed", "pair"]


def first_existing(source: Path, candidates: Sequence[str]) -> Path | None:
    """The first of some relative paths that is there."""
    return next((source / name for name in candidates if (source / name).exists()), None)


def by_key(
    folder: Path, ending: str | tuple[str, ...], other: tuple[str, ...] = ()
) -> dict[str, Path]:
    """The files of a folder whose names end so, by what stands before; hidden ones left out.

    Args:
        ending: of the name, upper or lower case; may be more than a file type.
        other: endings that, though they fit, are other files.

    Raises:
        SourceError: two files with the same key.
    """
    found: dict[str, Path] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        low = entry.name.lower()
        if low.startswith(".") or (other and low.endswith(other)) or not entry.is_file():
            continue
        endings = (ending,) if isinstance(ending, str) else ending
        end = next((e for e in endings if low.endswith(e.lower())), None)
        if end is not None:
            add(found, entry.name[: -len(end)], folder / entry.name)
    return found


def add(found: dict[str, Path], key: str, path: Path) -> None:
    """Note a file under its key.

    Raises:
        SourceError: the key is taken.
    """
    if key in found:
        raise SourceError(
            f"two files are called {key!r}: {found[key]} and {path}. They would become one; "
            f"remove the one that is not of the official download"
        )
    found[key] = path


def pair(split: str, images: dict[str, Path], masks: dict[str, Path]) -> Found:
    """Pictures beside their labels, sorted by key; what is alone is told."""
    unpaired = [f"picture without labels: {images[key]}" for key in images.keys() - masks.keys()]
    unpaired += [f"labels without picture: {masks[key]}" for key in masks.keys() - images.keys()]
    items = [
        Item(split, key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())
    ]
    return Found(items, len(images), len(masks), sorted(unpaired))


def listed(
    split: str, keys: Iterable[str], images: dict[str, Path], masks: dict[str, Path], where: str
) -> Found:
    """As `pair`, of the keys that an official list names; other files are none of its business.

    Raises:
        SourceError: a key stands twice in the list.
    """
    keys = list(keys)
    if len(set(keys)) != len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise SourceError(f"{where} names {twice[0]!r} twice; use the official list")
    found = Found(images=len(images), masks=len(masks))
    for key in sorted(keys):
        lacks = [what for what, have in (("picture", images), ("labels", masks)) if key not in have]
        if lacks:
            found.unpaired.append(f"no {' and no '.join(lacks)} of {key}, which {where} names")
        else:
            found.items.append(Item(split, key, images[key], masks[key]))
    return found
