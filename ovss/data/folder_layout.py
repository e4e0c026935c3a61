"""Search for images, label maps and the class file in a dataset folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.images import IMAGE_SUFFIXES

from .class_facts import FACT_KEYS, PALETTE_KEYS
from .class_json import read_json, without_metainfo
from .files import LOSSY_REASON, LOSSY_SUFFIXES
from .pairs import has_files
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
CLASS_TABLES = re.compile(
    r"(_?(label_?)?class(es|_?names|_?dict|_?info|_?list)?|(class_?|label_?)?names|labels|"
    r"(class_?|label_?)?(map|colou?rs?|table)|categories|vocabulary|object_?info\d*)"
    r"\.(txt|csv|tsv|json)$",
    re.IGNORECASE,
)
"""Further names, which count if no file has one of `CLASS_FILES`."""
NOT_CLASSES = re.compile(r"class_?(stats|count|weight|freq|dist)", re.IGNORECASE)


def find_folder(
    root: Path, path: str | Path | None, known: Sequence[str], suffixes: Collection[str], kind: str
) -> Path:
    """Finds the folder of images or of label maps.

    Args:
        root: folder of the dataset.
        path: choice of the user, as a path or below `root`; None: search by name.
        known: usual names of such folders, in lower case.
        suffixes: file types of which the folder must have at least one file.
        kind: ``images`` or ``masks``, for messages.

    Raises:
        FileNotFoundError: `path` does not exist.
        LayoutError: no folder or several folders fit.
    """
    if path is not None:
        return resolve(root, path, Path.is_dir, f"Folder of {kind}")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = named_folders(root, known)
    found = [p for p in named if has_files(p, suffixes)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(p.name for p in found)
        error = LayoutError(f"{root} has several folders of {kind}: {listed}. Choose one")
        raise advised(error, kind)
    lossy = [p for p in named if has_files(p, LOSSY_SUFFIXES)] if kind == "masks" else []
    if lossy:
        raise LayoutError(f"Expected lossless label maps in {lossy[0]}, found JPEG, {LOSSY_REASON}")
    splits = [p for p in folders if is_split(p.name) and any((p / name).is_dir() for name in known)]
    if splits and not named:
        error = LayoutError(
            f"{root} has {kind} inside {', '.join(p.name for p in splits)}. Give {splits[0]} as "
            f"the dataset, and the class file if it is elsewhere"
        )
        raise advised(error, "classes")
    empty = f" ({', '.join(p.name for p in named)}: no {_examples(suffixes)})" if named else ""
    listed = ", ".join(p.name for p in folders[:8]) or "no folders"
    error = LayoutError(
        f"{root} has no folder of {kind}{empty}, found {listed}. Name the folder {known[0]!r}"
    )
    raise advised(error, kind)


def named_folders(root: Path, known: Sequence[str]) -> list[Path]:
    """Lists the folders directly in `root` that have one of the names, in any case, sorted."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [p for p in folders if p.name.lower() in known]


def resolve(root: Path, path: str | Path, fits: Callable[[Path], bool], kind: str) -> Path:
    """Finds a path that the user named, below the dataset or as it is.

    Args:
        root: folder of the dataset.
        path: path of the user.
        fits: function that accepts a path.
        kind: description of the path, for messages.

    Raises:
        FileNotFoundError: no path fits.
    """
    found = next(filter(fits, (root / path, Path(path))), None)
    if found is None:
        raise FileNotFoundError(f"{kind} {root / path} does not exist")
    return found


def find_class_file(
    root: Path, path: str | Path | None, further: Sequence[Path] = ()
) -> Path | None:
    """Finds the class file of a dataset; None if no file has the name of one.

    Args:
        root: folder of the dataset.
        path: choice of the user, as a path or below `root`; None: search by name.
        further: folders to search, one after the other, if `root` has no class file.

    Raises:
        FileNotFoundError: `path` does not exist.
        LayoutError: several files fit.
    """
    if path is not None:
        return resolve(root, path, Path.is_file, "Class file")
    for folder in (root, *further):
        files = sorted(p for p in folder.iterdir() if p.is_file())
        files = [p for p in files if not NOT_CLASSES.match(p.name)]
        for pattern in (CLASS_FILES, CLASS_TABLES):
            found = [p for p in files if pattern.match(p.name)]
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(p.name for p in found)
                error = LayoutError(f"{folder} has several class files: {listed}. Choose one")
                raise advised(error, "classes")
    return None


def no_class_file(root: Path) -> LayoutError:
    """Error for a dataset without a class file."""
    error = LayoutError(
        f"{root} has no class file. Write {root / 'classes.txt'} with one class per line in the "
        f"order of the label values"
    )
    return advised(error, "classes")


def sibling_facts(root: Path, class_file: Path | None) -> list[tuple[Path, Any]]:
    """Reads the other JSON files of a dataset that describe its classes or splits.

    A file named palette may hold only the palette.

    Args:
        root: folder of the dataset.
        class_file: path of the class file, which is left out; None: there is none.

    Returns:
        Paths and contents of the files.
    """
    found = []
    images = {path.stem for path in root.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
    for path in sorted(root.glob("*.json")):
        if path == class_file or path.stem in images:  # the labels of one image
            continue
        if path.stem.lower() in PALETTE_KEYS:
            content = without_metainfo(read_json(path))
            nested = isinstance(content, dict) and any(key in content for key in PALETTE_KEYS)
            found.append((path, content if nested else {"palette": content}))
            continue
        try:
            content = without_metainfo(read_json(path))
        except ValueError:
            continue  # a file for another purpose
        if isinstance(content, dict) and (FACT_KEYS & content.keys() or listed_splits(content)):
            found.append((path, content))
    return found


def _examples(suffixes: Collection[str]) -> str:
    return ", ".join(sorted({".png", ".jpg", ".tif"}.intersection(suffixes))) + " ..."
