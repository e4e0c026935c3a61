"""Decoding of image files: Pillow first, OpenCV where Pillow would lose bits."""

from __future__ import annotations

import io
import os
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from .contents import head_of, reason_of_content
from .deep import deep_pixels, is_reduced, oriented, tiff_pixels, too_many_pixels
from .names import ImageError
from .pixels import rgb_from_pil

__all__ = ["MAX_PIXELS", "decode", "open_pillow", "orientation_of"]

MAX_PIXELS = 100_000_000
"""Largest number of pixels that is decoded unless a caller asks for large images.

A file of 20 KB can unpack to so many pixels; they take 0.4 GB as they are decoded. Pillow's own
limit of 179 megapixels applies as well."""

_ORIENTATION = 0x0112  # EXIF tag
_LOCK = threading.Lock()


def _new_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):  # a fork while a thread holds the lock would block the child
    os.register_at_fork(after_in_child=_new_lock)


def open_pillow(file: Path | io.BytesIO, large: bool = False) -> Image.Image:
    """Opens an image with Pillow; its pixels are decoded when they are used.

    Images of more than `MAX_PIXELS` are refused, because a small file can unpack to more than the
    memory holds. Pillow has a limit too, twice `PIL.Image.MAX_IMAGE_PIXELS` (179 megapixels). With
    `large` it is lifted while the header is read, under a lock, and then restored: other threads
    that use this function are not affected, but those that call `PIL.Image.open` themselves at this
    moment have no limit.

    Args:
        file: path or bytes of the file.
        large: True to open images of any size.

    Raises:
        ImageError: the image exceeds the limit; the error has the advice topic ``large``.
        PIL.UnidentifiedImageError, OSError: the file cannot be read.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit = pixel_limit()
        if not large:
            try:
                image = Image.open(file)
                if image.width * image.height <= limit:
                    return image
                image.close()
                raise too_many_pixels(image.size, limit)
            except Image.DecompressionBombError:
                pass  # opened once more for its size
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = pixels
    if large:
        return image
    image.close()
    raise too_many_pixels(image.size, limit)


def pixel_limit() -> int:
    """Largest number of pixels of an image that is read without a request for large images."""
    return min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))


def decode(file: Path | io.BytesIO, large: bool = False) -> np.ndarray:
    """Decodes an image file to (H, W, 3) RGB uint8, rotated by its EXIF orientation.

    Args:
        file: path or bytes of the file.
        large: True to read images of any size, see `open_pillow`.

    Raises:
        ImageError: the content is not an image, is too large, or has values out of range.
        Exception: nearly any, because Pillow's readers raise them on damaged files.
    """
    try:
        with open_pillow(file, large) as image:
            # before the EXIF data: reading those of a PNG decodes it, and its bit depth is lost
            rgb_HW3 = deep_pixels(image, file) if is_reduced(image) else None
            orientation = orientation_of(image)
            return oriented(rgb_from_pil(image) if rgb_HW3 is None else rgb_HW3, orientation)
    except Image.UnidentifiedImageError:
        head = head_of(file)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return tiff_pixels(file, None if large else pixel_limit())
        raise ImageError(reason_of_content(head)) from None


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 if the image has none."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data leave the image as it is stored
        return 1
    return orientation if orientation in range(1, 9) else 1
