"""Reader of the polygon files of Cityscapes: one JSON file with objects for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovss.vocabularies import load_names

from .shapes import ImageShapes, LabelShape, checked_size, polygon_shape
from .source import LabelClass, LabelSource, field_of, read_annotation

# fmt: off
_VOID = ("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic",
         "ground", "parking", "rail track", "guard rail", "bridge", "tunnel", "polegroup",
         "caravan", "trailer", "license plate")
# fmt: on


class CityscapesPolygons(LabelSource):
    """JSON files ``*_polygons.json`` with ``objects``, painted in the order of the file.

    A label ``cargroup`` is a group of the class ``car``. Objects marked as ``deleted`` are left
    out. The labels that the benchmark does not evaluate mean "not labelled" unless they are
    classes.
    """

    unlabeled = _VOID

    def shapes_of(self, image: Path, annotation: Path) -> ImageShapes:
        content, where = read_annotation(annotation), str(annotation)
        height, width = (field_of(content, key, int, where) for key in ("imgHeight", "imgWidth"))
        size = checked_size(height, width, image, where)
        objects = field_of(content, "objects", list, where)
        return ImageShapes(
            size,
            tuple(
                _shape(each, i, size, annotation)
                for i, each in enumerate(objects)
                if not (isinstance(each, dict) and each.get("deleted"))
            ),
        )

    def classes(self, annotations: Sequence[Path]) -> tuple[LabelClass, ...]:
        """Returns the 19 classes of the benchmark."""
        return tuple(LabelClass(name) for name in load_names("cityscapes"))


def _shape(item: Any, position: int, size: tuple[int, int], path: Path) -> LabelShape:
    where = f"{path}, object {position}"
    name = field_of(item, "label", str, where)
    if name not in _VOID:
        name = name.removesuffix("group")
    return polygon_shape(name, [field_of(item, "polygon", list, where)], size, where)
