"""Result of segmenting one image: masks, summary, drawing and files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from PIL import Image

from ovss.drawing.colors import palette
from ovss.drawing.outlines import Polygon, mask_polygons
from ovss.io.arguments import typed_arguments
from ovss.vocabularies.vocabulary import IGNORE

from .drawing import draw_result
from .formats import DEFAULT_FORMATS, save_result
from .interop import detections_of, png_of, segments_of, show_image
from .names import find_category
from .summary import summary_of

__all__ = ["UNKNOWN", "SegmentationResult"]

UNKNOWN = IGNORE
"""Label of pixels that belong to no category."""

PIXELS_AT_ONCE = 1 << 22
"""Pixels counted at once, so that the memory does not depend on the image."""


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """Segmentation of one image: a category for each pixel.

    Args:
        label_map: (H, W) integers, indices into `categories`, or `UNKNOWN`.
        categories: T category names, as requested.
        scores: (T,) float32, mean probability of a category over its pixels; 0 if it has none.
        image: (H, W, 3) RGB uint8, the image as it was read; of a tiled image a smaller copy, and
            drawings have its size.
        source: path of the image, or None if it came from memory.
        model: name of the config of the model.
        note: caveat that every drawing and summary repeats, for example on random weights.
        warnings: messages on this image for the summary.
        probabilities: (T, H, W) float32, or None if they were not requested.
        stem: start of the names of its files; empty if it has none.
        tile: (height, width) of the tiles in which the image was segmented; None for one piece.
    """

    label_map: np.ndarray
    categories: tuple[str, ...]
    scores: np.ndarray
    image: np.ndarray
    source: str | None = None
    model: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    stem: str = ""
    tile: tuple[int, int] | None = None

    @cached_property
    def pixels(self) -> np.ndarray:
        """Number of pixels of each category, (T,) int64."""
        pixels_T = np.zeros(len(self.categories), np.int64)
        for rows in np.array_split(self.label_map, self.label_map.size // PIXELS_AT_ONCE + 1):
            pixels_T += np.bincount(rows[rows != UNKNOWN], minlength=len(pixels_T))
        return pixels_T

    @property
    def unknown(self) -> np.ndarray:
        """Mask of the pixels that belong to no category, (H, W) bool."""
        return self.label_map == UNKNOWN

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the categories that have at least one pixel, the largest first."""
        return tuple(self.categories[i] for i in self.present_indices)

    @cached_property
    def present_indices(self) -> tuple[int, ...]:
        """Indices of the categories that have at least one pixel, the largest first."""
        order = np.argsort(-self.pixels, kind="stable")
        return tuple(int(i) for i in order if self.pixels[i])

    @cached_property
    def colors(self) -> np.ndarray:
        """Colours of the categories, (T, 3) RGB uint8; colour i depends on i only.

        Every file and drawing uses them, so that a category has one colour in all images of a run.
        """
        return palette(len(self.categories))

    def __repr__(self) -> str:
        """Summary in one line for prompts and notebooks: size and largest categories."""
        height, width = self.label_map.shape
        shares = [
            f"{self.categories[i]} {self.pixels[i] / self.label_map.size:.1%}"
            for i in self.present_indices[:5]
        ]
        if len(self.present) > 5:
            shares.append(f"{len(self.present) - 5} more")
        if self.unknown.any():
            shares.append(f"unknown {self.unknown.mean():.1%}")
        return f"<SegmentationResult {width} x {height}: {', '.join(shares)}>"

    @typed_arguments
    def mask(self, category: str | SupportsIndex) -> np.ndarray:
        """Mask of one category, (H, W) bool.

        Args:
            category: index, full name, synonym, or name in the legend of the category. The case of
                letters matters only where two names differ in nothing else.

        Raises:
            KeyError: no category has the name, or several have it.
            IndexError, TypeError: the index lies outside 0..T-1, or is not an integer.
        """
        return self.label_map == find_category(category, self.categories)

    @typed_arguments
    def polygons(self, category: str | SupportsIndex, tolerance: float = 0.0) -> list[Polygon]:
        """Outlines of the regions of one category with their holes, the largest first.

        Args:
            category: category, as in `mask`.
            tolerance: distance in pixels by which an outline may be simplified; 0 is exact.
        """
        return mask_polygons(self.mask(category), tolerance)

    def segments(self) -> list[dict[str, Any]]:
        """Segments as the image segmentation pipelines of transformers return them.

        One dict per category: ``label``, ``score``, and ``mask``, a PIL image (mode L, 255 inside).
        """
        return segments_of(self)

    def detections(self) -> Any:
        """Detections of the library supervision, one per category, the largest first.

        Raises:
            ImportError: supervision is not installed.
        """
        return detections_of(self)

    @typed_arguments
    def draw(
        self,
        opacity: float = 0.55,
        legend: bool = True,
        names: bool = True,
        side_by_side: bool = False,
    ) -> Image.Image:
        """Draws the image tinted by category, above a legend of names and shares of the pixels.

        With a legend, a small image is enlarged. Without one, the drawing has the image's size.

        Args:
            opacity: weight of the colours; 0 shows only the image, 1 only the colours.
            legend: adds the legend, which ends with `note`.
            names: writes the names on the regions.
            side_by_side: shows the image to the left of the drawing.
        """
        return draw_result(self, opacity, legend, names, side_by_side)

    def show(self, **drawing: Any) -> None:
        """Displays the drawing: in the output of a notebook, else in an image viewer.

        Args:
            drawing: arguments of `draw`.
        """
        show_image(self.draw(**drawing))

    def _repr_png_(self) -> bytes:
        """Drawing for notebooks."""
        return png_of(self.draw())

    def to_dict(self) -> dict[str, Any]:
        """Summary for JSON: no arrays, and only the categories that are present, largest first."""
        return summary_of(self)

    summary = to_dict

    @typed_arguments
    def save(
        self,
        folder: str | os.PathLike[str],
        stem: str | None = None,
        formats: Iterable[str] = DEFAULT_FORMATS,
        drawing: Mapping[str, Any] | None = None,
    ) -> tuple[Path, ...]:
        """Writes files, by default overlay, label map and summary, replacing existing ones.

        Args:
            folder: folder to write into, created if missing.
            stem: start of the file names; None: `self.stem`.
            formats: keys of `ovss.api.formats.FORMATS`.
            drawing: arguments of `draw` for the overlay.

        Returns:
            Paths of the files in the order of `formats`.

        Raises:
            ValueError: the result has no stem, and you pass none.
            ValueError, ImportError, FileExistsError: as `ovss.api.formats.ensure_formats`.
            OSError: the folder cannot be written, or the disk is full. A partial file is never
                left behind.
        """
        stem = stem or self.stem
        if not stem:
            raise ValueError("This result has no file name. Pass one as `stem`")
        return save_result(self, Path(folder), stem, formats, drawing)
