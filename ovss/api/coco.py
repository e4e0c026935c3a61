"""Results as COCO annotations, per image or for a whole run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ovss.io.files import write_text
from ovss.io.json_text import json_text

from .annotations import TOLERANCE
from .summary import finite_or_none, local_path

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["CocoWriter", "coco_region", "write_coco", "write_coco_rle"]


class CocoWriter:
    """Collects the results of a run and writes them as one COCO file at the end.

    An image has one annotation per category that it shows. Category i has the id i + 1, as COCO
    counts from 1. Areas and boxes are those of the pixels, for polygons too.

    Args:
        path: JSON file to create or replace.
        categories: names of the T categories.
        root: folder that the file names of images are relative to; None: names without folders.
        rle: True writes exact run-length masks, for which it needs pycocotools. False writes
            polygons, simplified to within a pixel.

    Raises:
        ImportError: pycocotools is needed and not installed.

    Examples:
        >>> with CocoWriter("run.json", names) as coco:        # doctest: +SKIP
        ...     for result in inferencer.many(images, names):
        ...         coco.add(result)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        categories: Sequence[str],
        *,
        root: str | os.PathLike[str] | None = None,
        rle: bool = False,
    ) -> None:
        if rle:
            _coco_masks()
        self.path, self.root, self.rle = Path(path), root, rle
        self.categories = tuple(categories)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, result: SegmentationResult, file_name: str | None = None) -> None:
        """Adds one result.

        Args:
            result: result with the categories of this writer.
            file_name: name of the image; None: that of the result's source.

        Raises:
            ValueError: the result has other categories.
        """
        if result.categories != self.categories:
            raise ValueError(
                f"expected a result with the {len(self.categories)} categories of this file, got "
                f"one with {len(result.categories)} other categories. Write one file per vocabulary"
            )
        height, width = result.label_map.shape
        image_id = len(self.images) + 1
        name = file_name or self._name(result.source) or f"{image_id}.png"
        self.images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for index in result.present_indices:
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": index + 1,
                    **coco_region(result, index, self.rle),
                    "score": finite_or_none(float(result.scores[index])),
                }
            )

    def content(self) -> dict[str, Any]:
        """Content of the file."""
        return {
            "info": {"description": "Semantic segmentation by ovss, one annotation per category"},
            "licenses": [],
            "images": self.images,
            "categories": [
                {"id": i + 1, "name": name, "supercategory": ""}
                for i, name in enumerate(self.categories)
            ],
            "annotations": self.annotations,
        }

    def write(self, durable: bool = True) -> Path:
        """Writes the file and returns its path.

        Args:
            durable: False not to wait for the disk, see `ovss.io.files.write_atomic`.
        """
        write_text(self.path, json_text(self.content(), indent=None), durable=durable)
        return self.path

    def __enter__(self) -> CocoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.write()

    def _name(self, source: str | None) -> str | None:
        path = local_path(source)
        if path is None:
            return source
        if self.root is None:
            return Path(path).name
        return Path(os.path.relpath(path, self.root)).as_posix()


def write_coco(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes the polygons of one image as a COCO file."""
    _write_one(result, path, rle=False)


def write_coco_rle(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes the run-length masks of one image as a COCO file; needs pycocotools."""
    _write_one(result, path, rle=True)


def _write_one(result: SegmentationResult, path: Path, rle: bool) -> None:
    writer = CocoWriter(path, result.categories, rle=rle)
    writer.add(result, None if result.source else f"{path.stem}.png")
    writer.write(durable=False)


def coco_region(result: SegmentationResult, index: int, rle: bool) -> dict[str, Any]:
    """Mask, area and box of one category for an annotation.

    Args:
        result: result.
        index: category, which has at least one pixel.
        rle: True for run-length masks, False for polygons.
    """
    mask_HW = result.mask(index)
    rows, columns = mask_HW.any(1).nonzero()[0], mask_HW.any(0).nonzero()[0]
    left, top = int(columns[0]), int(rows[0])
    segmentation: Any
    if rle:
        encoded = _coco_masks().encode(np.asfortranarray(mask_HW.astype(np.uint8)))
        height, width = encoded["size"]
        segmentation = {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
    else:
        polygons = result.polygons(index, tolerance=TOLERANCE)
        segmentation = [polygon.single_ring().ravel().tolist() for polygon in polygons]
    return {
        "segmentation": segmentation,
        "area": int(mask_HW.sum()),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,
    }


def _coco_masks() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            "run-length masks of COCO need the package pycocotools, which is not installed. "
            "Install it with `pip install 'ovss[coco]'`"
        ) from error
    return mask
