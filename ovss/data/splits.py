"""Splits of a dataset folder: subfolders and lists of images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.images import IMAGE_SUFFIXES

from .class_json import CLASS_LIST_KEYS
from .files import read_list
from .pairs import has_files

SPLIT = re.compile(
    r"(train|val|test)(ing|idation)?|trainval|train_val|dev|eval|valid", re.IGNORECASE
)
SPLIT_FILES = (".", "splits", "split", "ImageSets/Segmentation", "ImageSets", "lists")
EVERYTHING = "all"


class LayoutError(ValueError):
    """Error for a folder that can be read in several ways or in none.

    The message names the argument of `describe_folder` that decides.
    """


@dataclass(frozen=True)
class Split:
    """Part of a dataset.

    Args:
        name: name of the split, as written in the dataset.
        folder: subfolder of the split; "" if a list defines the split.
        subset: images of the list; None: all images of the folder.
        where: file of the list.
    """

    name: str
    folder: str = ""
    subset: tuple[str, ...] | None = None
    where: str = ""

    def __str__(self) -> str:
        if self.subset is None:
            return f"{self.name} (folder)"
        return f"{self.name} ({len(self.subset)} images listed in {Path(self.where).name})"


def find_splits(root: Path, images: Path, records: Iterable[tuple[Path, Any]]) -> dict[str, Split]:
    """Finds all splits: subfolders of the images, lists in JSON files and lists in text files.

    Args:
        root: folder of the dataset.
        images: folder of the images.
        records: paths and contents of the dataset's JSON files.

    Returns:
        Map from names to splits.
    """
    splits: dict[str, Split] = {}
    for path in sorted(p for p in images.iterdir() if p.is_dir()):
        if is_split(path.name) and has_files(path, IMAGE_SUFFIXES):
            splits[path.name] = Split(path.name, folder=path.name)
    for path, content in records:
        for name, stems in listed_splits(content).items():
            splits.setdefault(name, Split(name, subset=stems, where=str(path)))
    for folder in SPLIT_FILES:
        for path in sorted((root / folder).glob("*.txt")):
            if is_split(path.stem):
                split = Split(path.stem, subset=read_list(path), where=str(path))
                splits.setdefault(path.stem, split)
    return splits


def choose_split(splits: dict[str, Split], wanted: str | None, root: Path) -> Split | None:
    """Chooses a split by name.

    Args:
        splits: all splits by name.
        wanted: name such as ``val``, which also fits ``validation`` and ``val2017``; ``all`` for
            the whole dataset; None: the only split.
        root: folder of the dataset, for messages.

    Returns:
        The split; None: the whole dataset.

    Raises:
        LayoutError: the split does not exist, several splits fit, or no name is given and the
            dataset has several splits.
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
    fitting = [s for name, s in splits.items() if canonical_name(name) == canonical_name(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = ", ".join(map(str, fitting))
        raise LayoutError(f"Split {wanted!r} may be {several}. Give the full name")
    raise LayoutError(f"{root} has no split {wanted!r}, found {listed or 'no splits'}")


def mask_folder_of(masks: Path, split: Split | None) -> Path:
    """Finds the folder of a split's label maps: the subfolder of its name, or else all of `masks`.

    Args:
        masks: folder of all label maps.
        split: chosen split; None: the whole dataset.

    Raises:
        LayoutError: the label maps have subfolders for splits, but not for this one.
    """
    if split is None or not split.folder:
        return masks
    if (masks / split.folder).is_dir():
        return masks / split.folder
    folders = [p for p in sorted(masks.iterdir()) if p.is_dir() and is_split(p.name)]
    fitting = [p for p in folders if canonical_name(p.name) == canonical_name(split.folder)]
    if len(fitting) == 1:
        return fitting[0]
    if folders:
        error = LayoutError(
            f"Expected a folder {split.folder!r} in {masks} because the images have one, found "
            f"{', '.join(p.name for p in folders)}. Name both folders"
        )
        raise advised(error, "images", "masks")
    return masks


def is_split(name: str) -> bool:
    """Returns True for a usual name of a split, such as train, val2017 or validation."""
    return SPLIT.fullmatch(_without_year(name)) is not None


def canonical_name(name: str) -> str:
    """Reduces spellings of a split's name to one: ``val`` for val2017, valid and validation.

    >>> [canonical_name(name) for name in ("validation", "val2017", "training")]
    ['val', 'val', 'train']
    """
    name = _without_year(name).lower()
    match = re.fullmatch(r"(train|val|test)(ing|idation|id)?", name)
    return match[1] if match else name


def listed_splits(content: Any) -> dict[str, tuple[str, ...]]:
    """Reads the splits that a JSON object lists, at its top level or under ``splits``.

    Args:
        content: content of a JSON file.

    Returns:
        Map from names of splits to the images that they list.
    """
    if not isinstance(content, dict):
        return {}
    nested = content.get("splits")
    entries = {**content, **(nested if isinstance(nested, dict) else {})}
    return {
        key: tuple(value)
        for key, value in entries.items()
        if is_split(key) and key not in CLASS_LIST_KEYS
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    }


def _without_year(name: str) -> str:
    return re.sub(r"[_-]?\d+$", "", name)
