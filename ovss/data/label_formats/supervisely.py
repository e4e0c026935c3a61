"""Reader of Supervisely's annotation files: polygons, rectangles and bitmaps of one image."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovss.io.excerpts import excerpt
from ovss.io.images import ImageError

from .shapes import ImageShapes, LabelShape, checked_size, mask_shape, polygon_shape, read_points
from .source import LabelClass, LabelSource, field_of, read_annotation

META = "meta.json"
_LARGEST = 64 << 20  # bytes of one unpacked bitmap


class SuperviselyObjects(LabelSource):
    """JSON files in ``ann`` with ``objects``, whose classes are in ``meta.json``."""

    def shapes_of(self, image: Path, annotation: Path) -> ImageShapes:
        content, where = read_annotation(annotation), str(annotation)
        sides = field_of(content, "size", dict, where)
        height, width = (field_of(sides, key, int, where) for key in ("height", "width"))
        size = checked_size(height, width, image, where)
        objects = field_of(content, "objects", list, where)
        return ImageShapes(
            size, tuple(_shape(each, i, size, annotation) for i, each in enumerate(objects))
        )

    def classes(self, annotations: Sequence[Path]) -> tuple[LabelClass, ...]:
        """Returns the classes of ``meta.json``, in its order."""
        path = _meta_path(annotations[0])
        entries = field_of(read_annotation(path), "classes", list, str(path))
        return tuple(
            LabelClass(field_of(each, "title", str, f"{path}, classes"), _color(each.get("color")))
            for each in entries
        )


def _meta_path(annotation: Path) -> Path:
    for folder in list(annotation.parents)[:4]:
        if (folder / META).is_file():
            return folder / META
    raise ImageError(
        f"Expected {META} with the classes of {annotation} in one of its folders. Add it, or a "
        f"class file"
    )


def _color(value: Any) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", str(value))
    return None if match is None else (int(match[1], 16), int(match[2], 16), int(match[3], 16))


def _shape(item: Any, position: int, size: tuple[int, int], path: Path) -> LabelShape:
    where = f"{path}, object {position}"
    name = field_of(item, "classTitle", str, where)
    kind = item.get("geometryType")
    if kind == "bitmap":
        bitmap = field_of(item, "bitmap", dict, where)
        left, top = read_points(field_of(bitmap, "origin", list, where), 1, where)[0].astype(int)
        return mask_shape(name, _decoded(bitmap, where), int(top), int(left), size)
    if kind in ("polygon", "rectangle"):
        points = field_of(item, "points", dict, where)
        outline = field_of(points, "exterior", list, where)
        if kind == "rectangle" and len(outline) == 2:
            (x0, y0), (x1, y1) = read_points(outline, 2, where).tolist()
            outline = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        return polygon_shape(name, [outline], size, where, points.get("interior") or ())
    raise ImageError(
        f"{where}: a {excerpt(kind)} has no area. Convert {excerpt(name)} to a polygon or bitmap, "
        f"or remove it"
    )


def _decoded(bitmap: dict, where: str) -> np.ndarray:
    """Mask of a bitmap: a PNG, packed by zlib and written in base64."""
    try:
        packed = base64.b64decode(field_of(bitmap, "data", str, where))
        data = zlib.decompressobj().decompress(packed, _LARGEST)
        with Image.open(io.BytesIO(data)) as image:
            if image.has_transparency_data:
                return np.array(image.convert("RGBA"))[..., 3] > 0
            return np.array(image.convert("L")) > 0
    except ImageError:
        raise
    except Exception as error:  # Pillow raises almost any exception on damaged files
        raise ImageError(f"{where}: the bitmap cannot be read ({error})") from error
