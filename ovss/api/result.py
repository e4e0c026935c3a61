"""What segmenting one picture gives, and the files that it becomes."""

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
"""What `SegmentationResult.save` appends to a stem, one file each."""


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """A label for each pixel of one picture.

    Args:
        label_map: (H, W) integers, indices into `categories`.
        categories: T names, as they were asked for.
        scores: (T,) float32: mean probability of a category over the pixels that it won, 0 where
            it won none.
        image: (H, W, 3) RGB uint8, the picture as it was read.
        source: path of the picture, None if it came from memory.
        model: name of the config that made it.
    """

    label_map: np.ndarray
    categories: tuple[str, ...]
    scores: np.ndarray
    image: np.ndarray
    source: str | None = None
    model: str = ""

    @cached_property
    def pixels(self) -> np.ndarray:
        """(T,) int64: pixels that each category won."""
        return np.bincount(self.label_map.ravel(), minlength=len(self.categories))

    def __repr__(self) -> str:
        """One line, as prompts and notebooks show results: size and what was found."""
        height, width = self.label_map.shape
        found = ", ".join(
            f"{self.categories[i]} {self.pixels[i] / self.label_map.size:.1%}"
            for i in self._present_indices[:5]
        )
        more = f", {len(self.present) - 5} more" if len(self.present) > 5 else ""
        return f"<SegmentationResult {width} x {height}: {found}{more}>"

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the categories that won a pixel, largest first."""
        return tuple(self.categories[i] for i in self._present_indices)

    def mask(self, category: str | int) -> np.ndarray:
        """(H, W) bool: where a category, by name or index, won.

        Raises:
            KeyError: the name is not among the categories.
        """
        if isinstance(category, str):
            if category not in self.categories:
                raise KeyError(f"no category is called {category!r}; there are {self.categories}")
            category = self.categories.index(category)
        return self.label_map == category

    @cached_property
    def colors(self) -> np.ndarray:
        """(T, 3) RGB uint8, as in every file of this result; distinct for what is present."""
        return distinct_palette(len(self.categories), self._present_indices)

    def draw(self, opacity: float = 0.55, legend: bool = True) -> Image.Image:
        """The picture tinted by category over a legend of names and shares of the pixels.

        Without the legend it has the picture's size; with it, a small picture is enlarged.
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
        """The result without its maps, ready for JSON; present categories only, largest first."""
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
        """Write the overlay, the label map and the summary; an older file gives way.

        Returns:
            paths of ``STEM_overlay.png``, ``STEM_labels.png`` (palette image up to 256 categories,
            16-bit grey beyond) and ``STEM.json``.

        Raises:
            OSError: the folder cannot be written or the disk is full; no file is left half-written.
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
