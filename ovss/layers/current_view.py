"""Views that are being encoded: their places on the canvas, and the whole image behind them.

An encoder sees the pixels of a view only. A method whose regions or features belong to the whole
image needs to know which part of it each view shows. `ovss.inference` states this for the duration
of a call. Outside of such a call every image of a batch is an image of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CurrentViews", "ViewPlace", "current_views", "sample_view", "stated_views", "view_of"]


@dataclass(frozen=True)
class ViewPlace:
    """Place of a view on a canvas, in pixels of the canvas.

    Args:
        canvas: (height, width) of the canvas.
        top, left: first row and column of the view.
        height, width: size of the part that the view shows, which may exceed the canvas.
        mirrored: True if the view is mirrored.
    """

    canvas: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False

    @classmethod
    def whole(cls, canvas: tuple[int, int]) -> ViewPlace:
        """Place of a view that shows the whole canvas."""
        return cls(canvas, 0, 0, *canvas)


@dataclass(frozen=True, eq=False)
class CurrentViews:
    """Views of one image that are being encoded.

    Args:
        image_13HW: whole image at its own size, RGB in 0..255.
        places: place of each view of the batch.
        memo: results that all views of the image share, see `once`.
    """

    image_13HW: Tensor
    places: tuple[ViewPlace, ...]
    memo: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Result that is computed for the first batch of views and kept for the others."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]

    def part(self, views: slice) -> CurrentViews:
        """Some of the views, with the same memo."""
        return CurrentViews(self.image_13HW, self.places[views], self.memo)


_CURRENT: ContextVar[CurrentViews | None] = ContextVar("current_views", default=None)


@contextmanager
def stated_views(views: CurrentViews | None) -> Iterator[None]:
    """States the views of each batch that is encoded inside the context."""
    token = _CURRENT.set(views)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_views(batch: int) -> CurrentViews | None:
    """Views that are being encoded; None if nothing is stated, or of another batch.

    Args:
        batch: number of views of the batch.

    Raises:
        RuntimeError: an encoder asks while it is exported.
    """
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "this encoder reads which part of the image a view shows, which a graph does not know"
        )
    views = _CURRENT.get()
    return views if views is not None and len(views.places) == batch else None


def view_of(map_YX: Tensor, place: ViewPlace, fill: int) -> Tensor:
    """Part of a map that a view shows, (height, width) of the place.

    Args:
        map_YX: map at any resolution, such as indices of regions. It is resized to the canvas by
            nearest neighbour.
        place: place of the view.
        fill: value where the view exceeds the canvas.

    >>> place = ViewPlace((2, 4), 0, 2, 2, 3)
    >>> view_of(torch.tensor([[1, 2], [3, 4]]), place, 0).tolist()
    [[2, 2, 0], [4, 4, 0]]
    """
    map_YX = nearest(map_YX, place.canvas)
    bottom, right = place.top + place.height, place.left + place.width
    map_YX = map_YX[place.top : bottom, place.left : right]
    missing = (0, place.width - map_YX.shape[1], 0, place.height - map_YX.shape[0])
    map_YX = F.pad(map_YX, missing, value=fill)
    return map_YX.flip(1) if place.mirrored else map_YX


def sample_view(map_BDhw: Tensor, place: ViewPlace, size: tuple[int, int]) -> Tensor:
    """Part of a feature map that a view shows, sampled bilinearly on a grid of the view.

    Args:
        map_BDhw: map that covers the canvas.
        place: place of the view. Cells outside of the canvas repeat its border.
        size: (height, width) of the grid.
    """
    rows, columns = (
        (torch.arange(count, device=map_BDhw.device, dtype=map_BDhw.dtype) + 0.5)
        * (length / count / side * 2)
        + (start / side * 2 - 1)
        for count, length, start, side in zip(
            size,
            (place.height, place.width),
            (place.top, place.left),
            place.canvas,
            strict=True,
        )
    )
    if place.mirrored:
        columns = columns.flip(0)
    row_hw, column_hw = torch.meshgrid(rows, columns, indexing="ij")
    where_Bhw2 = torch.stack([column_hw, row_hw], dim=2).expand(map_BDhw.shape[0], -1, -1, -1)
    return F.grid_sample(map_BDhw, where_Bhw2, padding_mode="border", align_corners=False)


def nearest(map_YX: Tensor, size: Sequence[int]) -> Tensor:
    """Map of integers resized by nearest neighbour.

    >>> nearest(torch.tensor([[1, 2]]), (1, 4)).tolist()
    [[1, 1, 2, 2]]
    """
    if tuple(map_YX.shape) == tuple(size):
        return map_YX
    rows, columns = (
        _origins(old, new, map_YX.device) for old, new in zip(map_YX.shape, size, strict=True)
    )
    return map_YX[rows[:, None], columns]


def _origins(old: int, new: int, device: torch.device) -> Tensor:
    """Cell that each new cell copies, as PyTorch's ``nearest`` chooses it."""
    return (torch.arange(new, device=device) * (old / new)).long().clamp(max=old - 1)
