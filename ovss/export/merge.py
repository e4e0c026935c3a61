"""Views of an image, cut and merged in numpy as `ovss.inference` does it in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovss.inference.config import InferenceConfig, window_origins

from .arrays import Array, Maps, Regions, activated, resized, union

__all__ = ["View", "canvas_of", "merged_windows"]

_VALUES = 1 << 22  # values resized at once


@dataclass(frozen=True)
class View:
    """Result of the image graph for one view.

    Args:
        scores: maps, or regions of a whole image.
        features: dense tokens and image embedding, for a graph that refines maps; else empty.
    """

    scores: Maps | Regions
    features: tuple[Array, ...] = ()


def canvas_of(image_HW3: NDArray[np.uint8], config: InferenceConfig) -> Array:
    """Canvas (3, Y, X) of an image, float32 in 0..255."""
    image_3HW = np.ascontiguousarray(image_HW3.transpose(2, 0, 1), np.float32)
    return resized(image_3HW, config.canvas(*image_HW3.shape[:2]))


def merged_windows(
    image_HW3: NDArray[np.uint8],
    canvas_3YX: Array,
    config: InferenceConfig,
    segment: Callable[[Array], View],
) -> View:
    """Maps of the windows of a canvas, averaged where they overlap; see `InferenceConfig`."""
    side, size = config.window, (canvas_3YX.shape[1], canvas_3YX.shape[2])
    rows, columns = (window_origins(length, side, config.stride) for length in size)
    places = [(slice(y, y + side), slice(x, x + side)) for y in rows for x in columns]
    views = [segment(canvas_3YX[:, y, x]) for y, x in places]
    whole = None
    if config.global_view:
        image_3HW = np.ascontiguousarray(image_HW3.transpose(2, 0, 1), np.float32)
        whole = segment(resized(image_3HW, (side, side)))
    every = [*views, whole] if whole else views
    index_K = union([_maps(view).index_K for view in every])
    values_KYX = _mean(list(map(_maps, views)), places, index_K, size, config)
    if whole is not None:
        values_KYX *= 0.5
        maps = _maps(whole)
        slot_k = np.searchsorted(index_K, maps.index_K)
        step = max(1, _VALUES // (size[0] * size[1]))
        for start in range(0, len(slot_k), step):
            part = slice(start, start + step)
            values_KYX[slot_k[part]] += 0.5 * resized(maps.values_KYX[part], size)
    return View(Maps(values_KYX, index_K), whole.features if whole else ())


def _mean(
    maps: Sequence[Maps],
    places: Sequence[tuple[slice, slice]],
    index_K: NDArray[np.int64],
    size: tuple[int, int],
    config: InferenceConfig,
) -> Array:
    """Mean maps of the windows.

    Categories that a window did not keep count as 0; among logits, they do not count.
    """
    total_KYX = np.zeros((len(index_K), *size), np.float32)
    is_logits = config.merge == "logits"
    count_NYX = np.zeros((len(index_K) if is_logits else 1, *size), np.float32)
    for each, (y, x) in zip(maps, places, strict=True):
        slot_k = np.searchsorted(index_K, each.index_K)
        total_KYX[slot_k, y, x] += each.values_KYX
        count_NYX[slot_k if is_logits else slice(1), y, x] += 1
    total_KYX /= np.maximum(count_NYX, 1)
    if not is_logits:
        return total_KYX
    np.putmask(total_KYX, count_NYX == 0, -np.inf)
    return activated(total_KYX, config.activation)


def _maps(view: View) -> Maps:
    assert isinstance(view.scores, Maps), "regions of windows are merged inside the graph"
    return view.scores
