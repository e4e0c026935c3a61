"""Labelled shapes, their rasterisation, and their conversion to category indices."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ovss.io.excerpts import excerpt
from ovss.io.images import ImageError
from ovss.selection import IGNORE
from ovss.vocabularies.seen import category_key

from ..folder_files import image_header
from ..labels import LabelValueError, find_class

BACKGROUND_NAMES = frozenset(("background", "_background_", "__background__"))
_LARGE = 1 << 24  # pixels from which on a stated size is compared with the image
_FAR = 1 << 20  # vertices farther outside than this many pixels are moved closer


@dataclass(frozen=True)
class LabelShape:
    """Pixels of one labelled shape.

    Args:
        name: name of its class.
        top: row of the first row of `mask_hw` in the image.
        left: column of the first column of `mask_hw` in the image.
        mask_hw: True for pixels of the shape.
    """

    name: str
    top: int
    left: int
    mask_hw: NDArray[np.bool_]


@dataclass(frozen=True)
class ImageShapes:
    """Shapes of an image.

    Args:
        size: height and width of the image.
        shapes: shapes in the order in which they are painted.
    """

    size: tuple[int, int]
    shapes: tuple[LabelShape, ...]


def polygon_shape(
    name: str,
    outlines: Sequence[Any],
    size: tuple[int, int],
    where: str,
    holes: Sequence[Any] = (),
) -> LabelShape:
    """Rasterises the union of polygons by Pillow's `ImageDraw.polygon`.

    A vertex belongs to the pixel that contains it, and the pixels of the outline belong to the
    shape. Cityscapes and LabelMe use this rule; COCO's own differs by pixels of the outline.

    Args:
        name: name of the class.
        outlines: polygons, each as pairs (x, y) in pixels.
        size: height and width of the image.
        where: position of the shape, for messages.
        holes: polygons that are cut out.

    Raises:
        ImageError: a polygon has fewer than three points, or coordinates that are not numbers.
    """
    rings = [[_vertices(points, where) for points in part] for part in (outlines, holes)]
    corners = np.concatenate(rings[0])
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    left, top = max(int(left), 0), max(int(top), 0)
    width, height = min(int(right) + 1, size[1]) - left, min(int(bottom) + 1, size[0]) - top
    if width <= 0 or height <= 0:  # outside the image
        return LabelShape(name, 0, 0, np.zeros((0, 0), bool))
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for part, fill in zip(rings, (1, 0), strict=True):
        for points in part:
            flat = (points - (left, top)).ravel().tolist()
            draw.polygon(flat, fill=fill, outline=fill)
    return LabelShape(name, top, left, np.array(canvas))


def mask_shape(
    name: str, mask_hw: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]
) -> LabelShape:
    """Places a mask in an image; parts outside the image are cut off.

    Args:
        name: name of the class.
        mask_hw: mask.
        top: row of its first row in the image.
        left: column of its first column in the image.
        size: height and width of the image.
    """
    inside = mask_hw[max(-top, 0) : max(size[0] - top, 0), max(-left, 0) : max(size[1] - left, 0)]
    return LabelShape(name, max(top, 0), max(left, 0), inside)


def checked_size(height: int, width: int, image: Path, where: str) -> tuple[int, int]:
    """Checks the size that an annotation file states before anything of this size is made.

    Args:
        height: stated height.
        width: stated width.
        image: path of the image.
        where: file of the annotations, for messages.

    Returns:
        Height and width.

    Raises:
        ImageError: the size is not that of an image, or is large and not that of this one.
    """
    is_large = height * width > _LARGE
    if min(height, width) < 1 or (is_large and image_header(image)[0] != (width, height)):
        raise ImageError(
            f"{where}: expected the size of {image}, got (height, width) ({height}, {width}). "
            f"Export the annotations again"
        )
    return height, width


class ShapePainter:
    """Converts the shapes of an image to category indices.

    Later shapes cover earlier ones. Pixels without a shape belong to the category ``background``
    if there is one, and are IGNORE otherwise.

    Args:
        names: T category names.
        ignored: names of shapes that mean "not labelled".
        owners: category index of each of T names, or IGNORE; None: their positions.
        unlabeled: further ignored names, as far as they are not categories.

    Raises:
        ValueError: a name in `ignored` is a category.
    """

    def __init__(
        self,
        names: Sequence[str],
        ignored: Sequence[str] = (),
        owners: Sequence[int] | None = None,
        unlabeled: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.owners = tuple(range(len(names)) if owners is None else owners)
        both = [name for name in ignored if self._has(name)]
        if both:
            raise ValueError(
                f"The name {excerpt(both[0])} is a category and an ignored name. Remove one of them"
            )
        self.known: dict[str, int] = {
            name: IGNORE for name in (*ignored, *unlabeled) if not self._has(name)
        }
        self.background = next(
            (owner for name, owner in zip(names, self.owners) if is_background(name)), IGNORE
        )

    def __call__(self, image: ImageShapes, where: str) -> NDArray[np.int32]:
        """Paints the shapes of an image, int32 (H, W).

        Args:
            image: shapes of the image.
            where: file of the shapes, for messages.

        Raises:
            LabelValueError: a name is neither in the vocabulary nor ignored.
        """
        labels_HW = np.full(image.size, self.background, np.int32)
        for shape in image.shapes:
            height, width = shape.mask_hw.shape
            place = labels_HW[shape.top : shape.top + height, shape.left : shape.left + width]
            place[shape.mask_hw] = self.index_of(shape.name, where)
        return labels_HW

    def index_of(self, name: str, where: str) -> int:
        """Returns the category index of a name, or IGNORE.

        Args:
            name: name of a shape.
            where: file of the shape, for messages.

        Raises:
            LabelValueError: the name is neither in the vocabulary nor ignored.
        """
        if name not in self.known:
            if not self._has(name):
                close = difflib.get_close_matches(name, self.names, n=1)
                hint = f"; the closest class is {excerpt(close[0])}" if close else ""
                raise LabelValueError(
                    f"{where} has shapes called {excerpt(name)}, which is not a class{hint}",
                    [name],
                    "Add the name to the vocabulary, or to `ignored_names` if it means 'not "
                    "labelled'",
                )
            self.known[name] = self.owners[find_class(name, self.names, where, "the shapes")]
        return self.known[name]

    def _has(self, name: str) -> bool:
        key = category_key(name)
        return any(key & category_key(known) for known in self.names)


def is_background(name: str) -> bool:
    """Returns True for the class of everything that no shape covers."""
    return bool(category_key(name) & BACKGROUND_NAMES)


def read_points(points: Any, least: int, where: str) -> NDArray[np.float64]:
    """Reads points as (N, 2), pairs (x, y).

    Args:
        points: pairs of numbers, or a flat list of numbers.
        least: smallest number of points.
        where: position of the shape, for messages.

    Raises:
        ImageError: too few points, or coordinates that are not finite numbers.
    """
    try:
        read_N2 = np.array(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        read_N2 = np.zeros((0, 2))
    if len(read_N2) < least or not np.isfinite(read_N2).all():
        count = {1: "one", 2: "two", 3: "three"}[least]
        plural = "s" * (least > 1)
        raise ImageError(
            f"{where}: expected at least {count} point{plural} (x, y), got {str(points)[:60]}. "
            f"Correct or remove the shape"
        )
    return read_N2


def _vertices(points: Any, where: str) -> NDArray[np.int64]:
    """Pixels of the vertices of a polygon, (N, 2) as (x, y)."""
    return np.floor(read_points(points, 3, where).clip(-_FAR, _FAR)).astype(np.int64)
