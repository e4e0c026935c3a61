"""Reader of LabelMe's annotation files: one JSON file with shapes for each image."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ovss.io.excerpts import excerpt
from ovss.io.images import ImageError

from ..folder_files import image_header
from .shapes import ImageShapes, LabelShape, checked_size, mask_shape, polygon_shape, read_points
from .source import LabelClass, LabelSource, field_of, read_annotation


class LabelMeShapes(LabelSource):
    """LabelMe's JSON with ``shapes``: polygons, rectangles, circles and masks."""

    unlabeled = ("__ignore__",)

    def shapes_of(self, image: Path, annotation: Path) -> ImageShapes:
        content = read_annotation(annotation)
        height, width = content.get("imageHeight"), content.get("imageWidth")
        if not (type(height) is type(width) is int):
            width, height = image_header(image)[0]
        size = checked_size(height, width, image, str(annotation))
        shapes = field_of(content, "shapes", list, str(annotation))
        return ImageShapes(
            size, tuple(_shape(each, i, size, annotation) for i, each in enumerate(shapes))
        )

    def classes(self, annotations: Sequence[Path]) -> tuple[LabelClass, ...]:
        """Returns all names of shapes, sorted."""
        names: set[str] = set()
        for path in annotations:
            for shape in field_of(read_annotation(path), "shapes", list, str(path)):
                names.add(field_of(shape, "label", str, f"{path}, shapes"))
        return tuple(LabelClass(name) for name in sorted(names - set(self.unlabeled)))


def _shape(shape: Any, position: int, size: tuple[int, int], path: Path) -> LabelShape:
    where = f"{path}, shape {position}"
    name = field_of(shape, "label", str, where)
    kind = shape.get("shape_type") or "polygon"
    points = field_of(shape, "points", list, where)
    if kind in ("polygon", "rotation"):
        return polygon_shape(name, [points], size, where)
    if kind in ("rectangle", "circle", "mask"):
        corners = read_points(points, 2, where)
        if kind == "mask":
            left, top = np.floor(corners[0]).astype(int).tolist()
            return mask_shape(name, _decoded(shape, where), top, left, size)
        if kind == "rectangle":
            (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
            return polygon_shape(name, [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], size, where)
        return _circle(name, corners, size)
    raise ImageError(
        f"{where}: a {excerpt(kind)} has no area. Draw {excerpt(name)} as a polygon, rectangle or "
        f"circle, or remove it"
    )


def _circle(name: str, points: np.ndarray, size: tuple[int, int]) -> LabelShape:
    """Rasterises a circle by its centre and a point on its outline."""
    (x, y), radius = points[0], float(np.hypot(*(points[1] - points[0])))
    canvas = Image.new("1", size[::-1])
    ImageDraw.Draw(canvas).ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return LabelShape(name, 0, 0, np.array(canvas))


def _decoded(shape: dict, where: str) -> np.ndarray:
    try:
        data = base64.b64decode(field_of(shape, "mask", str, where))
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("L")) > 0
    except ImageError:
        raise
    except Exception as error:  # Pillow raises almost any exception on damaged files
        raise ImageError(f"{where}: the mask cannot be read ({error})") from error
