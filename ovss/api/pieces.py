"""Size of the pieces in which an image is segmented, so that the memory stays bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovss.inference import InferenceConfig
    from ovss.segmentor import OpenVocabSegmentor

    from .request import Request

__all__ = ["ONE_PIECE", "TILE", "largest_piece", "piece_size"]

ONE_PIECE = 50_000_000
"""Largest number of pixels that is segmented in one piece unless the user asks for it.

Measured on a CPU, an image of this size and 847 names take 2.6 GiB with the libraries and a small
model. Photos of phones and cameras have 12 to 50 megapixels and are segmented as a whole."""

TILE = 2048
"""Side of the tiles of larger images, in pixels."""

NAMES_TIMES_PIXELS = 1 << 29
"""Largest number of probabilities of one piece, 2 GiB, for methods that compute them for each pixel
of the image. Other methods have a canvas of fixed size."""

SMALLEST = 256
SHARE_OF_OVERLAP = 4
"""Neighbouring tiles overlap by a quarter of their side."""


def piece_size(size: tuple[int, int], names: int, inference: InferenceConfig) -> tuple[int, int]:
    """Largest (height, width) that is segmented at once; the image itself if it is small enough.

    A narrow strip gets longer tiles, because a pixel row of tiles would have thousands.

    Args:
        size: (height, width) of the image.
        names: number of names that compete for a pixel.
        inference: views of the method.

    >>> from ovss.inference import InferenceConfig
    >>> piece_size((6000, 8000), 847, InferenceConfig(size=336, keep_ratio=True))
    (6000, 8000)
    >>> piece_size((10000, 10000), 847, InferenceConfig(size=336, keep_ratio=True))
    (2048, 2048)
    >>> piece_size((10000, 10000), 847, InferenceConfig())
    (796, 796)
    """
    height, width = size
    # the probabilities are as large as the image
    follows = inference.size is None or inference.activate_at == "image"
    if height * width <= ONE_PIECE and not (
        follows and names * height * width > NAMES_TIMES_PIXELS
    ):
        return size
    side = min(TILE, max(SMALLEST, math.isqrt(NAMES_TIMES_PIXELS // names))) if follows else TILE
    if min(size) * SHARE_OF_OVERLAP * 2 > side:
        return side, side
    long = side * side // min(size)
    return (side, long) if height < width else (long, side)


def largest_piece(
    name: str,
    model: OpenVocabSegmentor,
    size: tuple[int, int],
    request: Request,
    tile: int | None,
) -> tuple[int, int]:
    """Largest (height, width) that a model segments at once.

    Args:
        name: name of the method, for the error.
        model: model.
        size: (height, width) of the image.
        request: categories and rules.
        tile: side of the tiles in pixels; 0: one piece of any size; None: see `piece_size`.

    Raises:
        ValueError: tiles for a model that needs the whole image.
    """
    whole = model.encoder.needs_whole_image
    if whole and tile:
        raise ValueError(
            f"{name} needs the whole image, because its regions were not computed for tiles. "
            f"Segment the image without tiles."
        )
    if whole or tile == 0 or (tile is None and request.probabilities):
        return size
    if tile is None:
        return piece_size(size, len(request.queries), model.inference)
    return tile, tile
