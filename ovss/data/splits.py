"""The splits of a folder: its subfolders, and lists of pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.images import IMAGE_SUFFIXES

from .class_file import INNER
from .files import read_list
from .pairs import holds

SPLIT = re.compile(
    r"(train|val|test)(ing|idation)?|trainval|train_val|dev|eval|valid", re.IGNORECASE
)
SPLIT_FILES = (".", "splits", "split", "ImageSets/Segmentation", "ImageSets", "lists")
EVERYTHING = "all"


class LayoutError(ValueError):
    """A folder that can be read in several ways, or in none; says which flag decides."""


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Args:
        name: as it is written there.
        folder: the subfolder that holds it; "" where a list tells it.
        subset: the pictures listed, None for all of the folder.
        where: the file of that list.
    """

    name: str
    folder: str = ""
    subset: tuple[str, ...] | None = None
    where: str = ""

    def __str__(self) -> str:
        if self.subset is None:
            return f"{self.name} (folder)"
        return f"{self.name} ({len(self.subset)} pictures listed in {Path(self.where).name})"


def find_splits(root: Path, images: Path, records: Iterable[tuple[Path, Any]]) -> dict[str, Split]:
    """Every split by name: subfolders of the pictures, lists in JSON files, lists in text files.

    Args:
        root: the data set. images: its pictures.
        records: its JSON files with their content.
    """
    found: dict[str, Split] = {}
    for path in sorted(p for p in images.iterdir() if p.is_dir()):
        if is_split(path.name) and holds(path, IMAGE_SUFFIXES):
            found[path.name] = Split(path.name, folder=path.name)
    for path, content in records:
        for name, stems in listed_splits(content).items():
            found.setdefault(name, Split(name, subset=stems, where=str(path)))
    for place in SPLIT_FILES:
        for path in sorted((root / place).glob("*.txt")):
            if is_split(path.stem):
                found.setdefault(
                    path.stem, Split(path.stem, subset=read_list(path), where=str(path))
                )
    return found


def choose_split(splits: dict[str, Split], wanted: str | None, root: Path) -> Split | None:
    """The split that is meant; None: all there is.

    Raises:
        LayoutError: there is no such split, or none was named and there are several.
    """
    listed = ", ".join(map(str, splits.values()))
    if wanted is None:
        if len(splits) > 1:
            error = LayoutError(f"{root} has several splits: {listed}. Choose one")
            raise advised(error, "split", "every_split", everything=EVERYTHING)
        return next(iter(splits.values()), None)
    if wanted in splits:
        return splits[wanted]
    if wanted == EVERYTHING:
        return None
    alike = [split for name, split in splits.items() if canonical(name) == canonical(wanted)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        several = ", ".join(map(str, alike))
        raise LayoutError(f"the split {wanted!r} may be {several}. Name one in full")
    raise LayoutError(
        f"{root} has no split {wanted!r}: there is {listed or 'no split at all, only one set'}"
    )


def mask_folder_of(masks: Path, split: Split | None) -> Path:
    """Where the label maps of a split are: the subfolder of that name, or all of them.

    Raises:
        LayoutError: label maps have splits, and not this one.
    """
    if split is None or not split.folder:
        return masks
    if (masks / split.folder).is_dir():
        return masks / split.folder
    inside = [p for p in sorted(masks.iterdir()) if p.is_dir() and is_split(p.name)]
    alike = [p for p in inside if canonical(p.name) == canonical(split.folder)]
    if len(alike) == 1:
        return alike[0]
    if inside:
        error = LayoutError(
            f"{masks} has {', '.join(p.name for p in inside)} and no {split.folder!r}, which the "
            f"images have"
        )
        raise advised(error, "images", "masks")
    return masks


def is_split(name: str) -> bool:
    """Whether a folder or list is called as splits are: train, val2017, validation ..."""
    return SPLIT.fullmatch(_without_year(name)) is not None


def canonical(name: str) -> str:
    """One spelling of a split: ``val`` for val2017, valid and validation.

    >>> [canonical(name) for name in ("validation", "val2017", "training")]
    ['val', 'val', 'train']
    """
    name = _without_year(name).lower()
    match = re.fullmatch(r"(train|val|test)(ing|idation|id)?", name)
    return match[1] if match else name


def listed_splits(content: Any) -> dict[str, tuple[str, ...]]:
    """Splits that a JSON object lists."""
    if not isinstance(content, dict):
        return {}
    inner = content.get("splits")
    pool = {**content, **(inner if isinstance(inner, dict) else {})}
    return {
        key: tuple(value)
        for key, value in pool.items()
        if is_split(key) and key not in INNER
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    }


def _without_year(name: str) -> str:
    return re.sub(r"[_-]?\d+$", "", name)
