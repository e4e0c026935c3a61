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

__all__ = ["decode", "open_pillow", "orientation_of"]

_ORIENTATION = 0x0112  # EXIF tag
_LOCK = threading.Lock()


def _new_lock() -> None:
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):  # a fork while a thread holds the lock would block the child
    os.register_at_fork(after_in_child=_new_lock)


def open_pillow(file: Path | io.BytesIO, large: bool = False) -> Image.Image:
    """Opens an image with Pillow; its pixels are decoded when they are used.

    Pillow refuses images of more than twice `PIL.Image.MAX_IMAGE_PIXELS` (179 megapixels), because
    a small file can unpack to more than the memory holds. With `large` the limit is lifted while
    the header is read, under a lock, and then restored: other threads that use this function are
    not affected, but those that call `PIL.Image.open` themselves at this moment have no limit.

    Args:
        file: path or bytes of the file.
        large: True to open images of any size.

    Raises:
        ImageError: the image exceeds the limit; the error has the advice topic ``large``.
        PIL.UnidentifiedImageError, OSError: the file cannot be read.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if not large:
            try:
                return Image.open(file)
            except Image.DecompressionBombError:
                limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = pixels
    if large:
        return image
    image.close()
    raise too_many_pixels(image.size, limit)


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
            return tiff_pixels(file, large)
        raise ImageError(reason_of_content(head)) from None


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 if the image has none."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data leave the image as it is stored
        return 1
    return orientation if orientation in range(1, 9) else 1
