"""Reader of COCO's annotation files: polygons and run-length masks of all images in one file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ovss.io.excerpts import excerpt
from ovss.io.images import ImageError

from ..rle import decode_mask
from .shapes import ImageShapes, LabelShape, checked_size, mask_shape, polygon_shape
from .source import LabelClass, LabelSource, field_of, read_annotation


class CocoAnnotations(LabelSource):
    """COCO's JSON with ``images``, ``annotations`` and ``categories``.

    Instances are painted by their number of pixels, the largest first, so that small objects
    cover large ones. A crowd region (``iscrowd``) has the class of its category.
    """

    overlap = "the largest first"

    def shapes_of(self, image: Path, annotation: Path) -> ImageShapes:
        index = self.index_of(annotation)
        record = index.image_record(image)
        where = f"{annotation}, image {record.get('file_name')}"
        height, width = (field_of(record, key, int, where) for key in ("height", "width"))
        size = checked_size(height, width, image, where)
        shapes = [
            _shape(entry, index.names, size, annotation)
            for entry in index.annotations.get(field_of(record, "id", (int, str), where), ())
        ]
        shapes.sort(key=lambda shape: -int(shape.mask_hw.sum()))
        return ImageShapes(size, tuple(shapes))

    def classes(self, annotations: Sequence[Path]) -> tuple[LabelClass, ...]:
        return tuple(LabelClass(name) for name in self.index_of(annotations[0]).class_names())

    def index_of(self, annotation: Path) -> CocoIndex:
        """Returns the content of a file, which is read once.

        Raises:
            ImageError: as `CocoIndex`.
        """
        changed = annotation.stat().st_mtime_ns if annotation.is_file() else 0
        return _read_once(annotation, changed)


class CocoIndex:
    """Content of a COCO file, by image.

    Args:
        path: path of the file.

    Raises:
        ImageError: the file cannot be read, or lacks one of its lists.
    """

    def __init__(self, path: Path) -> None:
        content = read_annotation(path)
        self.path = path
        self.images: dict[str, dict] = {}
        for record in field_of(content, "images", list, str(path)):
            name = field_of(record, "file_name", str, f"{path}, images").replace("\\", "/")
            self.images[name] = record
        self.categories = field_of(content, "categories", list, str(path))
        self.names: dict[Any, str] = {}
        for each in self.categories:
            key = field_of(each, "id", int, f"{path}, categories")
            if key in self.names:
                raise ImageError(f"{path} has two categories with the id {key}. Export it again")
            self.names[key] = field_of(each, "name", str, f"{path}, categories")
        self.annotations: dict[Any, list[dict]] = {}
        for entry in field_of(content, "annotations", list, str(path)):
            if isinstance(entry, dict) and "segments_info" in entry:
                raise ImageError(
                    f"{path}: expected polygons or run-length masks, found COCO's panoptic format. "
                    f"Convert it with panoptic2detection_coco_format.py of panopticapi"
                )
            image_id = field_of(entry, "image_id", (int, str), f"{path}, annotations")
            self.annotations.setdefault(image_id, []).append(entry)

    def used_names(self) -> tuple[str, ...]:
        """Returns the names of categories that have annotations."""
        entries = (entry for each in self.annotations.values() for entry in each)
        ids = (entry.get("category_id") for entry in entries)
        used = {key for key in ids if isinstance(key, int | str)}  # `_shape` refuses others
        return tuple(name for key, name in self.names.items() if key in used)

    def class_names(self) -> tuple[str, ...]:
        """Returns the names of the categories by their ids.

        Roboflow adds a category that is only the supercategory of the others, which is left out.
        """
        used = set(self.used_names())
        parents = {str(each.get("supercategory")) for each in self.categories}
        roots = {each["name"] for each in self.categories if each.get("supercategory") == "none"}
        return tuple(
            self.names[key]
            for key in sorted(self.names)
            if self.names[key] in used or self.names[key] not in parents & roots
        )

    def image_record(self, image: Path) -> dict:
        """Returns the record of an image, which is found by the end of its path.

        Raises:
            ImageError: the file does not list the image.
        """
        for start in range(len(image.parts)):
            record = self.images.get("/".join(image.parts[start:]))
            if record is not None:
                return record
        found = [record for name, record in self.images.items() if Path(name).name == image.name]
        if len(found) == 1:
            return found[0]
        raise ImageError(
            f"{self.path} lists {len(found) or 'no'} images called {image.name}, expected one. "
            f"List the images that it has in a file val.txt next to the folders"
        )


@lru_cache(maxsize=2)
def _read_once(path: Path, changed: int) -> CocoIndex:
    return CocoIndex(path)


def _shape(
    entry: dict[str, Any], names: dict[Any, str], size: tuple[int, int], path: Path
) -> LabelShape:
    where = f"{path}, annotation {entry.get('id')}"
    category = field_of(entry, "category_id", (int, str), where)
    if category not in names:
        raise ImageError(
            f"{where}: no category has the id {excerpt(category)}. Correct 'category_id'"
        )
    name, outline = names[category], entry.get("segmentation")
    if isinstance(outline, dict):
        stated = outline.get("size")
        if stated is not None and stated != list(size):  # before it is decoded
            found = excerpt(tuple(stated) if isinstance(stated, list) else stated, 40)
            raise ImageError(
                f"{where}: the run-length mask has (height, width) {found} and the image {size}. "
                f"Export the file again"
            )
        try:
            mask_HW = decode_mask(outline)
        except (OverflowError, TypeError, ValueError) as error:
            raise ImageError(f"{where}: {error}") from error
        return _cropped(name, mask_HW, size)
    if not isinstance(outline, list) or not outline:
        raise ImageError(
            f"{where}: expected a 'segmentation' of polygons or a run-length mask, but the object "
            f"has only a box. Export the dataset for instance segmentation"
        )
    return polygon_shape(name, outline, size, where)


def _cropped(name: str, mask_HW: np.ndarray, size: tuple[int, int]) -> LabelShape:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if not len(rows):
        return mask_shape(name, mask_HW[:0, :0], 0, 0, size)
    top, left = int(rows[0]), int(columns[0])
    return mask_shape(name, mask_HW[top : rows[-1] + 1, left : columns[-1] + 1], top, left, size)
