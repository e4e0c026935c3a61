"""Segmentation of very large images, tile by tile, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ovss.drawing.overlay import sampled_labels
from ovss.io.tiles import LazyImage

__all__ = ["TiledSegmentation", "label_dtype", "segment_tiles", "tile_spans"]

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Function from an RGB image (H, W, 3) to its label map and the probability of each label, both
(H, W)."""


@dataclass(frozen=True, eq=False)
class TiledSegmentation:
    """Segmentation of a large image.

    Args:
        label_map: (H, W) indices of categories in the smallest signed integer type; -1 where a
            pixel has no category.
        pixels: (T,) int64, number of pixels of each category.
        scores: (T,) float32, mean probability of a category over its pixels; 0 if it has none.
        image: the image, for previews.
    """

    label_map: np.ndarray
    pixels: np.ndarray
    scores: np.ndarray
    image: LazyImage

    def preview(self, max_side: int = 4096) -> tuple[np.ndarray, np.ndarray]:
        """Image and label map reduced by a whole factor, for drawing in bounded memory.

        Colours are averaged over the pixels that become one, and labels are those of its centre.

        Args:
            max_side: largest height and width of the preview.

        Returns:
            (h, w, 3) RGB uint8 and (h, w) labels.
        """
        image_HW3 = self.preview_image(max_side)
        return image_HW3, sampled_labels(self.label_map, image_HW3.shape[:2])

    def preview_image(self, max_side: int = 4096) -> np.ndarray:
        """Image of `preview`, (h, w, 3) RGB uint8."""
        return self.image.reduced(math.ceil(max(self.label_map.shape) / max_side))


def label_dtype(count: int) -> np.dtype:
    """Smallest signed integer type for labels -1..count-1.

    >>> label_dtype(128), label_dtype(129)
    (dtype('int8'), dtype('int16'))
    """
    return np.dtype(next(t for t in (np.int8, np.int16, np.int32) if count - 1 <= np.iinfo(t).max))


def tile_spans(length: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Tiles along one axis, evenly spaced.

    Neighbouring tiles overlap by at least `overlap` pixels and meet in the middle of the overlap,
    so that each pixel belongs to the tile whose centre is nearest.

    Returns:
        (start, stop, first, end) of each tile: it covers start..stop and owns first..end.

    >>> tile_spans(100, 60, 20)
    [(0, 60, 0, 50), (40, 100, 50, 100)]
    """
    tile = min(tile, length)
    count = 1 if tile == length else math.ceil((length - overlap) / (tile - overlap))
    starts = [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]
    cuts = [0, *((left + tile + right) // 2 for left, right in pairwise(starts)), length]
    return [
        (start, start + tile, first, end)
        for start, (first, end) in zip(starts, pairwise(cuts), strict=True)
    ]


def segment_tiles(
    image: Any,
    predict: Predict,
    count: int,
    *,
    tile: int | tuple[int, int] = 1024,
    overlap: int = 256,
    progress: bool = False,
) -> TiledSegmentation:
    """Segments an image in overlapping tiles, of which one at a time is in memory.

    Each pixel takes the label of the tile whose centre is nearest. A tile is predicted on its own,
    so a model sees no more of the scene than the tile; an image that fits into one tile gives the
    labels of `predict` itself.

    Args:
        image: anything that `ovss.io.images.to_rgb` accepts, of any size, or a `LazyImage`. Arrays
            in files (`numpy.memmap`) are read a tile at a time.
        predict: function from RGB (H, W, 3) uint8 to the label map and the probability of each
            label, both (H, W).
        count: number of categories T.
        tile: height and width of a tile, in pixels, as one number or two.
        overlap: smallest overlap of neighbouring tiles, in pixels.
        progress: True to show a progress bar on a terminal.

    Raises:
        ImageError: the image cannot be read.
        ValueError: the tile is not larger than the overlap, or `predict` returns arrays of another
            size or labels outside -1..T-1.
    """
    tile_height, tile_width = (tile, tile) if isinstance(tile, int) else tile
    if not 0 <= overlap < min(tile_height, tile_width):
        raise ValueError(
            f"expected tiles that are larger than their overlap, found tile={tile} and "
            f"overlap={overlap}. Choose a smaller overlap"
        )
    source = image if isinstance(image, LazyImage) else LazyImage(image)
    height, width = source.size
    labels_HW = np.empty((height, width), label_dtype(count))
    pixels_T, sums_T = np.zeros(count, np.int64), np.zeros(count)
    rows = tile_spans(height, tile_height, overlap)
    columns = tile_spans(width, tile_width, overlap)
    for row, column in _progress([(r, c) for r in rows for c in columns], progress):
        rgb_HW3 = source.crop(*row[:2], *column[:2])
        tile_HW, probs_HW = predict(rgb_HW3)
        _check(tile_HW, probs_HW, rgb_HW3.shape[:2], count)
        own = tuple(slice(first - start, end - start) for start, _, first, end in (row, column))
        tile_HW, probs_HW = np.asarray(tile_HW)[own], np.asarray(probs_HW)[own]
        labels_HW[row[2] : row[3], column[2] : column[3]] = tile_HW
        is_known_HW = tile_HW >= 0
        labels_N = tile_HW[is_known_HW]
        pixels_T += np.bincount(labels_N, minlength=count)
        sums_T += np.bincount(labels_N, weights=probs_HW[is_known_HW], minlength=count)
    scores_T = (sums_T / np.maximum(pixels_T, 1)).astype(np.float32)
    return TiledSegmentation(labels_HW, pixels_T, scores_T, source)


def _check(labels_HW: Any, probs_HW: Any, size: tuple[int, ...], count: int) -> None:
    shapes = np.shape(labels_HW), np.shape(probs_HW)
    if shapes != (size, size):
        raise ValueError(
            f"expected labels and probabilities of shape {size} for a tile, found {shapes[0]} and "
            f"{shapes[1]}"
        )
    low, high = int(np.min(labels_HW)), int(np.max(labels_HW))
    if low < -1 or high >= count:
        raise ValueError(f"expected labels in -1..{count - 1} for a tile, found {low}..{high}")


def _progress(items: list, progress: bool) -> Iterator:
    from tqdm import tqdm

    return iter(tqdm(items, unit="tile", disable=None if progress else True, leave=False))
