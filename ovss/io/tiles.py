"""Regions of a large image, converted to RGB one at a time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .decoding import decode, open_pillow, orientation_of
from .deep import deep_pixels, is_reduced, oriented
from .images import errors_named, image_content, input_name, is_encoded, to_rgb
from .names import ImageError
from .pixels import rgb_from_array, rgb_from_pil, white_of, white_of_pil

__all__ = ["LazyImage"]

_STRIP_ROWS = 512  # rows that a preview converts at once
_NO_LIMIT = 1 << 40


class LazyImage:
    """Image of any size whose regions are converted to RGB when they are used.

    The pixels are held once, as Pillow decodes them (4 bytes a pixel for colours) or as the array
    is; an array in a file (`numpy.memmap`) stays there. Regions have the values that
    `ovss.io.images.to_rgb` gives for the whole image, because white is found on the whole image.

    Args:
        image: anything that `to_rgb` accepts.
        large: True to read images of any size, False to apply the limit of `read_image`.

    Raises:
        ImageError: the image cannot be read, or does not describe an image.
    """

    def __init__(self, image: Any, *, large: bool = True) -> None:
        self._name = "PIL image" if isinstance(image, Image.Image) else input_name(image)
        self._orientation = 1
        self._pixels: Image.Image | np.ndarray
        if isinstance(image, Image.Image):
            with errors_named(self._name):
                self._set_pil(image)
        elif is_encoded(image):
            with errors_named(self._name):
                self._open(image_content(image), large)
        else:
            self._set_array(image)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright image."""
        height, width = self._stored_size
        return (width, height) if self._orientation >= 5 else (height, width)

    def crop(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Region of the upright image, (bottom - top, right - left, 3) RGB uint8."""
        top, bottom, left, right = self._stored_box(top, bottom, left, right)
        if isinstance(self._pixels, Image.Image):
            rgb_HW3 = self._crop_pil(self._pixels, top, bottom, left, right)
        else:
            rgb_HW3 = rgb_from_array(np.asarray(self._pixels[top:bottom, left:right]), self._white)
        return oriented(rgb_HW3, self._orientation)

    def _crop_pil(
        self, image: Image.Image, top: int, bottom: int, left: int, right: int
    ) -> np.ndarray:
        """Region of a PIL image, in strips within the limit that Pillow's ``crop`` applies, too."""
        rows = max(1, (Image.MAX_IMAGE_PIXELS or _NO_LIMIT) // max(1, right - left))
        strips = [
            rgb_from_pil(image.crop((left, start, right, min(start + rows, bottom))), self._white)
            for start in range(top, bottom, rows)
        ]
        return strips[0] if len(strips) == 1 else np.concatenate(strips)

    def whole(self) -> np.ndarray:
        """The whole upright image, (H, W, 3) RGB uint8, as `to_rgb` gives it."""
        with errors_named(self._name):
            return self.crop(0, self.size[0], 0, self.size[1])

    def reduced(self, factor: int) -> np.ndarray:
        """Image smaller by a whole factor, (ceil(H / factor), ceil(W / factor), 3) RGB uint8."""
        height, width = self.size
        rows = factor * max(1, _STRIP_ROWS // factor)
        strips = [
            np.asarray(
                Image.fromarray(self.crop(top, min(top + rows, height), 0, width)).reduce(factor)
            )
            for top in range(0, height, rows)
        ]
        return np.concatenate(strips)

    def _open(self, file: Path | io.BytesIO, large: bool) -> None:
        try:
            image = open_pillow(file, large)
        except Image.UnidentifiedImageError:
            self._set_array(decode(file, large))
            return
        with image:
            deep_HW3 = deep_pixels(image, file) if is_reduced(image) else None
            self._set_pil(image)
            if deep_HW3 is not None:
                self._pixels = deep_HW3

    def _set_pil(self, image: Image.Image) -> None:
        image.load()
        if 0 in image.size:
            raise ImageError(f"the image is empty: {image.size[0]} x {image.size[1]} pixels")
        self._orientation = orientation_of(image)
        self._white = white_of_pil(image)
        self._pixels, self._stored_size = image, (image.height, image.width)

    def _set_array(self, image: Any) -> None:
        if hasattr(image, "detach"):
            image = image.detach().cpu()
            image = (image.float() if image.is_floating_point() else image).numpy()
            image = np.moveaxis(image, 0, -1) if image.ndim == 3 else image
        elif not hasattr(image, "__array__"):
            to_rgb(image)  # raises, because this describes no image
        array = image if isinstance(image, np.ndarray) else np.asarray(image)
        has_alpha = array.ndim == 3 and array.shape[2] == 4
        if has_alpha and array.dtype != np.uint8:
            array = rgb_from_array(array)  # white of the alpha is found on the whole image too
        rgb_from_array(np.asarray(array[:1, :1]) if array.ndim > 1 else array)  # checks the shape
        self._white = None if array.dtype == np.uint8 else white_of(array)
        self._pixels, self._stored_size = array, (array.shape[0], array.shape[1])

    def _stored_box(
        self, top: int, bottom: int, left: int, right: int
    ) -> tuple[int, int, int, int]:
        """Box of a region in the pixels as they are stored, see `oriented`."""
        if self._orientation >= 5:
            top, bottom, left, right = left, right, top, bottom
        height, width = self._stored_size
        if self._orientation in (3, 4, 6, 7):
            top, bottom = height - bottom, height - top
        if self._orientation in (2, 3, 7, 8):
            left, right = width - right, width - left
        return top, bottom, left, right
