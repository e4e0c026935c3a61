"""Reading of the images of a shard ahead of the model."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np

from ovss.io.contents import reason_of_error
from ovss.io.decoding import decode
from ovss.io.images import image_content
from ovss.io.names import ImageError, is_url
from ovss.io.remote import UnreachableError, download

from .listing import ListedImage
from .parquet_images import ImageTable

__all__ = ["PAUSES", "read_listed", "with_contents"]

PAUSES = (1.0, 4.0)
"""Seconds before each further try to reach a server."""

ReadImage = tuple[int, "Future[np.ndarray]"]


def with_contents(
    images: Sequence[ListedImage], column: str | None
) -> Iterator[tuple[ListedImage, bytes | None]]:
    """Images with their bytes, for those in parquet files; None for the others.

    Args:
        images: images of a shard.
        column: column of the parquet files; None: found.

    Raises:
        ValueError, OSError: a parquet file has changed or cannot be read.
    """
    rows: Iterator[bytes | None] = iter(())
    expected: tuple[bytes, int] | None = None
    for image in images:
        if image.row < 0:
            yield image, None
            continue
        if (image.place, image.row) != expected:
            rows = ImageTable(Path(os.fsdecode(image.place)), column).images(image.row)
        yield image, next(rows) or b""
        expected = image.place, image.row + 1


def read_listed(
    images: Sequence[ListedImage], column: str | None, large: bool, pool: Executor, ahead: int
) -> Iterator[ReadImage]:
    """Reads images in threads, and gives them in their order.

    Args:
        images: images of a shard.
        column: column of the parquet files; None: found.
        large: True to read images above 100 megapixels.
        pool: threads that read.
        ahead: images that are read before they are used, which bounds the memory; 0 reads an image
            when it is asked for.

    Returns:
        Position of each image, and a future of its pixels, (H, W, 3) RGB uint8. The future raises
        ImageError for an image that cannot be read.
    """
    waiting: deque[ReadImage] = deque()
    for position, (image, content) in enumerate(with_contents(images, column)):
        waiting.append((position, pool.submit(_read, image, content, large)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def _read(image: ListedImage, content: bytes | None, large: bool) -> np.ndarray:
    if image.row >= 0 and not content:
        raise ImageError("the row holds no image")
    if not image.place:
        raise ImageError("the list has neither a path nor an address here")
    place = os.fsdecode(image.place)
    try:
        if content is None and is_url(place):
            content = _downloaded(place)
        return decode(image_content(Path(place) if content is None else content), large)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("the image does not fit into memory") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise ImageError(f"cannot be read ({reason_of_error(error)})") from error


def _downloaded(address: str) -> bytes:
    for pause in PAUSES:
        try:
            return download(address)
        except UnreachableError:
            time.sleep(pause)
    return download(address)
