"""Where pictures, label maps, class file and splits lie in a folder: found by looking."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.image_io import IMAGE_SUFFIXES

from .class_facts import FACT_KEYS, PALETTE_KEYS
from .class_file import INNER, read_json
from .pairs import files_below

# fmt: off
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "pictures", "photos",
                 "leftimg8bit", "rgb")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation",
                "segmentationclassaug", "segmentationclass", "segmaps", "seg", "gtfine", "gt",
                "ground_truth", "groundtruth")
# fmt: on
CLASS_FILES = re.compile(
    r"(class(es|names|_names)?([_.-].*)?\.(txt|json|names)|(class_?|label_?)?names\.(txt|json)"
    r"|(labels|categories|vocabulary)\.(txt|json))$",
    re.IGNORECASE,
)
NOT_CLASSES = re.compile(r"class_?(stats|count|weight|freq|dist)", re.IGNORECASE)
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


def find_folder(
    root: Path, given: str | Path | None, known: Sequence[str], kind: Collection[str], what: str
) -> Path:
    """The folder of pictures or of label maps.

    Args:
        root: the data set.
        given: named by the user, as a path or below `root`; None: look for one.
        known: what such folders are called, in lower case.
        kind: file types that it must hold.
        what: ``images`` or ``masks``: the flag.

    Raises:
        FileNotFoundError: no such folder. LayoutError: none is found, or several.
    """
    if given is not None:
        for place in (root / given, Path(given)):
            if place.is_dir():
                return place
        raise FileNotFoundError(f"no such folder: {root / given} (--{what})")
    inside = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = [p for p in inside if p.name.lower() in known]
    found = [p for p in named if holds(p, kind)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(path.name for path in found)
        raise LayoutError(f"{root} has several folders that may be the {what}: {listed}; choose "
                          f"one with --{what}")  # fmt: skip
    empty = f" ({', '.join(p.name for p in named)}: no {_kinds(kind)} in there)" if named else ""
    there = ", ".join(p.name for p in inside[:8]) or "no folders at all"
    raise LayoutError(
        f"{root} has no folder of {what}{empty}: there is {there}. Name it with --{what}, or call "
        f"it {known[0]!r}"
    )


def find_class_file(root: Path, given: str | Path | None) -> Path:
    """The class file of a data set.

    Raises:
        FileNotFoundError: no such file. LayoutError: none is found, or several.
    """
    if given is not None:
        for place in (root / given, Path(given)):
            if place.is_file():
                return place
        raise FileNotFoundError(f"no such class file: {root / given} (--classes)")
    found = sorted(
        path
        for path in root.iterdir()
        if path.is_file() and CLASS_FILES.match(path.name) and not NOT_CLASSES.match(path.name)
    )
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(path.name for path in found)
        raise LayoutError(f"{root} has several class files: {listed}; choose one with --classes")
    raise LayoutError(
        f"{root} has no class file: write {root / 'classes.txt'}, one class a line in the order of "
        f"the label values, or name a file with --classes"
    )


def sibling_facts(root: Path, class_file: Path) -> list[tuple[Path, Any]]:
    """The other JSON files of a data set that speak of its classes or splits, with their content;
    a file called palette holds nothing but the palette."""
    found = []
    for path in sorted(root.glob("*.json")):
        if path == class_file or path.stat().st_size > 16 << 20:
            continue
        if path.stem.lower() in PALETTE_KEYS:
            content = read_json(path)
            nested = isinstance(content, dict) and any(key in content for key in PALETTE_KEYS)
            found.append((path, content if nested else {"palette": content}))
            continue
        try:
            content = read_json(path)
        except ValueError:
            continue  # a file of another purpose
        if isinstance(content, dict) and (FACT_KEYS & content.keys() or _listed(content)):
            found.append((path, content))
    return found


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
        for name, stems in _listed(content).items():
            found.setdefault(name, Split(name, subset=stems, where=str(path)))
    for place in SPLIT_FILES:
        for path in sorted((root / place).glob("*.txt")):
            if is_split(path.stem):
                stems = tuple(s.strip() for s in path.read_text("utf-8").split("\n") if s.strip())
                found.setdefault(path.stem, Split(path.stem, subset=stems, where=str(path)))
    return found


def choose_split(splits: dict[str, Split], wanted: str | None, root: Path) -> Split | None:
    """The split that is meant; None: all there is.

    Raises:
        LayoutError: there is no such split, or none was named and there are several.
    """
    listed = ", ".join(map(str, splits.values()))
    if wanted is None:
        if len(splits) > 1:
            raise LayoutError(f"{root} has several splits: {listed}; choose one with --split, or "
                              f"--split {EVERYTHING}")  # fmt: skip
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
        raise LayoutError(f"--split {wanted} may be {several}: name one in full")
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
        raise LayoutError(
            f"{masks} has {', '.join(p.name for p in inside)} and no {split.folder!r}, which the "
            f"pictures have: name the folders with --images and --masks"
        )
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


def holds(folder: Path, kind: Collection[str]) -> bool:
    """Whether there is a file of these types below a folder."""
    return any(path.suffix.lower() in kind for path in files_below(folder))


def _listed(content: Any) -> dict[str, tuple[str, ...]]:
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


def _kinds(kind: Collection[str]) -> str:
    return ", ".join(sorted({".png", ".jpg", ".tif"}.intersection(kind))) + " ..."
