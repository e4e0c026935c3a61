"""Detection of the format of annotation files by their content."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from ..pairs import files_below

_COCO_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_LARGEST = 256 << 20  # bytes of the annotation file of one image
_MAX_SNIFFED = 20  # files of a folder that are read to find its format


def annotation_format(path: Path) -> str | None:
    """Finds the format of an annotation file of one image; None if it is something else.

    Args:
        path: JSON file.
    """
    if path.stat().st_size > _LARGEST:
        return None
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("shapes"), list):
        return "labelme"
    if isinstance(content.get("objects"), list):
        if "imgHeight" in content:
            return "cityscapes"
        return "supervisely" if isinstance(content.get("size"), dict) else None
    return None


def is_coco(path: Path) -> bool:
    """Returns True if a JSON file has the keys of COCO's annotation files."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(key) >= 0 for key in _COCO_KEYS)


def find_annotation(folder: Path) -> tuple[Path, str] | None:
    """Finds the first annotation file of one image in a folder, and its format.

    Args:
        folder: folder, which is searched with its subfolders.

    Returns:
        Path of the file and one of `list_label_formats`; None if there is none.
    """
    files = sorted(path for path in files_below(folder) if path.suffix.lower() == ".json")
    formats = ((path, annotation_format(path)) for path in files[:_MAX_SNIFFED])
    return next(((path, found) for path, found in formats if found is not None), None)
