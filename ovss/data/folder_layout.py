"""Where pictures, label maps and class file lie in a folder: found by looking."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ovss.io.advice import advised

from .class_facts import FACT_KEYS, PALETTE_KEYS
from .class_file import read_json
from .pairs import holds
from .splits import LayoutError, is_split, listed_splits

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
        return _given(root, given, Path.is_dir, f"folder of {what}: {root / given}")
    inside = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = [p for p in inside if p.name.lower() in known]
    found = [p for p in named if holds(p, kind)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(path.name for path in found)
        error = LayoutError(f"{root} has several folders that may be the {what}: {listed}")
        raise advised(error, what)
    parts = [p for p in inside if is_split(p.name) and any((p / name).is_dir() for name in known)]
    if parts and not named:
        error = LayoutError(
            f"{root} has {what} within {', '.join(p.name for p in parts)}. Give {parts[0]} as the "
            f"dataset, and the class file if it is not in there"
        )
        raise advised(error, "classes")
    empty = f" ({', '.join(p.name for p in named)}: no {_kinds(kind)} in there)" if named else ""
    there = ", ".join(p.name for p in inside[:8]) or "no folders at all"
    error = LayoutError(
        f"{root} has no folder of {what}{empty}, only {there}. Call the folder {known[0]!r}"
    )
    raise advised(error, what)


def _given(root: Path, given: str | Path, fits: Callable[[Path], bool], what: str) -> Path:
    """What a flag names, below the data set or as a path."""
    place = next(filter(fits, (root / given, Path(given))), None)
    if place is None:
        raise FileNotFoundError(f"no such {what}")
    return place


def find_class_file(root: Path, given: str | Path | None) -> Path:
    """The class file of a data set.

    Raises:
        FileNotFoundError: no such file. LayoutError: none is found, or several.
    """
    if given is not None:
        return _given(root, given, Path.is_file, f"class file: {root / given}")
    found = sorted(
        path
        for path in root.iterdir()
        if path.is_file() and CLASS_FILES.match(path.name) and not NOT_CLASSES.match(path.name)
    )
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(path.name for path in found)
        raise advised(LayoutError(f"{root} has several class files: {listed}"), "classes")
    error = LayoutError(
        f"{root} has no class file. Write {root / 'classes.txt'}, one class a line in the order of "
        f"the label values"
    )
    raise advised(error, "classes")


def sibling_facts(root: Path, class_file: Path) -> list[tuple[Path, Any]]:
    """The other JSON files of a data set that speak of its classes or splits, with their content;
    a file called palette holds nothing but the palette."""
    found = []
    for path in sorted(root.glob("*.json")):
        if path == class_file:
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
        if isinstance(content, dict) and (FACT_KEYS & content.keys() or listed_splits(content)):
            found.append((path, content))
    return found


def _kinds(kind: Collection[str]) -> str:
    return ", ".join(sorted({".png", ".jpg", ".tif"}.intersection(kind))) + " ..."
