"""Result of segmenting one image, and the files it is saved to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ovss.io.drawing import (
    LegendEntry,
    add_legend,
    distinct_palette,
    enlarge_small,
    label_image,
    overlay,
)
from ovss.io.files import write_atomic
from ovss.structures import split_synonyms

__all__ = ["OUTPUT_ENDINGS", "SegmentationResult"]

OUTPUT_ENDINGS = ("_overlay.png", "_labels.png", ".json")
"""Endings that `SegmentationResult.save` appends to the stem, one for each file."""


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """Segmentation of one image: a category for each pixel.

    Args:
        label_map: (H, W) integers, indices into `categories`.
        categories: T category names, as requested.
        scores: (T,) float32, mean probability of a category over its pixels; 0 if it has none.
        image: (H, W, 3) RGB uint8, the image as it was read.
        source: path of the image, or None if it came from memory.
        model: name of the config of the model.
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

    @cached_property
    def pixels(self) -> np.ndarray:
        """Number of pixels of each category, (T,) int64."""
        return np.bincount(self.label_map.ravel(), minlength=len(self.categories))

    def __repr__(self) -> str:
        """Summary in one line for prompts and notebooks: size and largest categories."""
        height, width = self.label_map.shape
        shares = ", ".join(
            f"{self.categories[i]} {self.pixels[i] / self.label_map.size:.1%}"
            for i in self._present_indices[:5]
        )
        more = f", {len(self.present) - 5} more" if len(self.present) > 5 else ""
        return f"<SegmentationResult {width} x {height}: {shares}{more}>"

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the categories that have at least one pixel, the largest first."""
        return tuple(self.categories[i] for i in self._present_indices)

    def mask(self, category: str | int) -> np.ndarray:
        """Mask of one category, (H, W) bool.

        Args:
            category: name or index of the category.

        Raises:
            KeyError: the name is not among the categories.
        """
        if isinstance(category, str):
            if category not in self.categories:
                raise KeyError(
                    f"no category is called {category!r}; the categories are "
                    f"{', '.join(map(repr, self.categories))}"
                )
            category = self.categories.index(category)
        return self.label_map == category

    @cached_property
    def colors(self) -> np.ndarray:
        """Colours of the categories, (T, 3) RGB uint8; those that are present are distinct.

        Every file and drawing of this result uses them.
        """
        return distinct_palette(len(self.categories), self._present_indices)

    def draw(self, opacity: float = 0.55, legend: bool = True) -> Image.Image:
        """Draws the image tinted by category, above a legend of names and shares of the pixels.

        With a legend, a small image is enlarged. Without one, the drawing has the image's size.

        Args:
            opacity: weight of the colours; 0 shows only the image, 1 only the colours.
            legend: adds the legend.
        """
        if not legend:
            return overlay(self.image, self.label_map, self.colors, opacity)
        image_HW3, labels_HW = enlarge_small(self.image), enlarge_small(self.label_map)
        entries = []
        for i in self._present_indices:
            red, green, blue = self.colors[i].tolist()
            share = float(self.pixels[i]) / self.label_map.size
            name = split_synonyms(self.categories[i])[0]
            entries.append(LegendEntry(name, (red, green, blue), share))
        return add_legend(overlay(image_HW3, labels_HW, self.colors, opacity), entries)

    def summary(self) -> dict[str, Any]:
        """Summary for JSON: no arrays, and only the categories that are present, largest first."""
        height, width = self.label_map.shape
        return {
            "image": None if self.source is None else os.path.abspath(self.source),
            "width": width,
            "height": height,
            "model": self.model,
            "vocabulary_size": len(self.categories),
            "categories": [
                {
                    "index": i,
                    "category": self.categories[i],
                    "pixels": int(self.pixels[i]),
                    "share": round(float(self.pixels[i]) / self.label_map.size, 6),
                    "mean_score": round(float(self.scores[i]), 6),
                    "color": "#" + self.colors[i].tobytes().hex(),
                }
                for i in self._present_indices
            ],
        }

    def save(self, folder: str | os.PathLike[str], stem: str) -> tuple[Path, Path, Path]:
        """Writes the overlay, the label map and the summary, replacing existing files.

        Args:
            folder: folder to write into, created if missing.
            stem: start of the file names.

        Returns:
            Paths of ``STEM_overlay.png``, ``STEM_labels.png`` and ``STEM.json``. The label map is
            a palette image for up to 256 categories, else a 16-bit grey image.

        Raises:
            OSError: the folder cannot be written, or the disk is full. A partial file is never
                left behind.
        """
        overlay_path, labels_path, json_path = (
            Path(folder) / f"{stem}{ending}" for ending in OUTPUT_ENDINGS
        )
        labels = label_image(self.label_map, self.colors)
        text = json.dumps(self.summary(), indent=2, ensure_ascii=False) + "\n"
        write_atomic(overlay_path, lambda file: self.draw().save(file, format="png"))
        write_atomic(labels_path, lambda file: labels.save(file, format="png"))
        write_atomic(json_path, lambda file: file.write(text.encode()))
        return overlay_path, labels_path, json_path

    @cached_property
    def _present_indices(self) -> list[int]:
        order = np.argsort(-self.pixels, kind="stable")
        return [int(i) for i in order if self.pixels[i]]
