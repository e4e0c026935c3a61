"""Features of windows, spliced into features of the canvas that the windows were cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ovss.ops import crop_padding
from ovss.structures import ImageFeatures, Padding

__all__ = ["WindowFeatures", "splice", "spliced_features", "window_features"]


@dataclass(frozen=True)
class WindowFeatures:
    """What windows contribute to features of the canvas.

    Args:
        maps: maps on grids that cover a window, each (V, D_i, h_i, w_i).
        pooled_VC: one vector for each window.
        padding: place of a window inside the area that the maps cover; None if they cover the
            window itself.
    """

    maps: tuple[Tensor, ...]
    pooled_VC: Tensor
    padding: Padding | None = None


def window_features(features: ImageFeatures) -> WindowFeatures:
    """Parts of ordinary image features that can be spliced: tokens, levels, class attention.

    Attention between patches is left out, because patches of other windows have none.
    """
    maps = [features.dense_BChw, *features.levels]
    if features.class_attention_BMhw is not None:
        maps.append(features.class_attention_BMhw)
    return WindowFeatures(tuple(maps), features.pooled_BC, features.padding)


def spliced_features(spliced: WindowFeatures, levels: int) -> ImageFeatures:
    """Image features of the canvas from spliced parts, in the order of `window_features`.

    Args:
        spliced: features of the canvas, as `splice` gives them.
        levels: number of levels.
    """
    dense_BChw, *others = spliced.maps
    return ImageFeatures(
        dense_BChw,
        spliced.pooled_VC,
        tuple(others[:levels]),
        class_attention_BMhw=others[levels] if len(others) > levels else None,
    )


def splice(
    parts: Sequence[WindowFeatures],
    starts: Sequence[tuple[int, int]],
    window: tuple[int, int],
    canvas: tuple[int, int],
) -> WindowFeatures:
    """Averages the maps of windows where they overlap, and the vectors of all windows.

    A map of the canvas has as many cells for a pixel as the maps of the windows, rounded to whole
    cells; so are the starts of the windows.

    Args:
        parts: features of consecutive windows, in batches.
        starts: (row, column) of each window's first pixel on the canvas.
        window: (height, width) of a window in pixels.
        canvas: (height, width) of the canvas in pixels.

    Returns:
        Features of one canvas, (1, D_i, rows_i, columns_i) and (1, C).
    """
    parts = [
        replace(part, maps=tuple(crop_padding(m, part.padding) for m in part.maps), padding=None)
        for part in parts
    ]
    pooled_VC = torch.cat([part.pooled_VC for part in parts])
    maps = tuple(
        _spliced(torch.cat(maps), starts, window, canvas)
        for maps in zip(*(part.maps for part in parts), strict=True)
    )
    return WindowFeatures(maps, pooled_VC.mean(0, keepdim=True))


def _spliced(
    map_VDhw: Tensor,
    starts: Sequence[tuple[int, int]],
    window: tuple[int, int],
    canvas: tuple[int, int],
) -> Tensor:
    cells = (map_VDhw.shape[2], map_VDhw.shape[3])
    size = [
        max(own, round(whole * own / side))
        for whole, own, side in zip(canvas, cells, window, strict=True)
    ]
    total_1DHW = map_VDhw.new_zeros(1, map_VDhw.shape[1], *size)
    count_HW = map_VDhw.new_zeros(size)
    for map_Dhw, start in zip(map_VDhw, starts, strict=True):
        y, x = (
            slice(first, first + own)
            for first, own in (
                (min(round(pixel * own / side), whole - own), own)
                for pixel, own, side, whole in zip(start, cells, window, size, strict=True)
            )
        )
        total_1DHW[0, :, y, x] += map_Dhw
        count_HW[y, x] += 1
    return total_1DHW / count_HW.clamp(min=1)
