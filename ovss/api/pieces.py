"""Size of the pieces in which an image is segmented, so that the memory stays bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovss.inference import InferenceConfig

__all__ = ["ONE_PIECE", "TILE", "piece_size"]

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
