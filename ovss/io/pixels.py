"""Pixel values of any kind become RGB uint8.

White is the largest value that a pixel can have. Where nothing states it, integers of more than
8 bits take the smallest of 8, 10, 12, 14 and 16 bits that holds the maximum of the image: 12-bit
data in a 16-bit file is scaled by 4095 and does not come out black.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageCms

from .names import ImageError

__all__ = [
    "rgb_from_array",
    "rgb_from_pil",
    "stated_white",
    "white_level",
    "white_of",
    "white_of_pil",
]

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths that are assumed for integers of more than 8 bits."""

_BITS, _MAX_SAMPLE, _SAMPLE_FORMAT = 258, 281, 339  # TIFF tags
_FLOAT_GAP = 8  # fractional values with a maximum between 1 and this are neither 0..1 nor 0..255


def white_level(high: int) -> int:
    """Value of white for integers of more than 8 bits whose maximum is `high`.

    >>> [white_level(high) for high in (200, 1000, 4095, 4096, 65535)]
    [255, 1023, 4095, 16383, 65535]
    """
    for bits in BIT_DEPTHS:
        if high < 1 << bits:
            return (1 << bits) - 1
    raise ImageError(
        f"pixel values reach {high}; expected at most 65535, because integers beyond 16 bits have "
        "no common value for white. Convert the image to 8 or 16 bits"
    )


def rgb_from_pil(image: Image.Image, white: int | None = None) -> np.ndarray:
    """Converts a PIL image to (H, W, 3) RGB uint8, transparent pixels blended with white.

    Args:
        image: image of any mode. Its orientation is not changed.
        white: value of white of an image with one channel of more than 8 bits; None applies the
            rule of this module.

    Raises:
        ImageError: the image is empty, or its values do not describe an image.
    """
    if 0 in image.size:
        raise ImageError(f"the image is empty: {image.size[0]} x {image.size[1]} pixels")
    if image.mode == "F":
        return rgb_from_array(np.asarray(image), white)
    if image.mode.startswith("I"):  # 16 or 32 bits; Pillow has several mode names for it
        return _deep_grey(image, white)
    if image.mode == "LAB":
        return np.array(_from_lab(image))
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def rgb_from_array(array: np.ndarray, white: int | None = None) -> np.ndarray:
    """Converts an array of pixels to (H, W, 3) RGB uint8, transparent pixels blended with white.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); values as in `ovss.io.images.to_rgb`.
        white: value of white, if it is known.

    Raises:
        ImageError: the shape, type or range does not describe an image.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"shape {array.shape} is not the shape of an image; expected (H, W), (H, W, 1), "
            "(H, W, 3) or (H, W, 4) for an array, or channels first for a tensor"
        )
    if array.shape[2] < 4:
        array = _to_uint8(array, white or white_of(array))
        return np.array(np.broadcast_to(array, (*array.shape[:2], 3)))
    color_HW3, alpha_HW1 = array[..., :3], array[..., 3:]
    alpha_white = white_of(alpha_HW1)  # an alpha of 0..1 is common with colours of 0..255
    white = white or white_of(color_HW3)
    if array.dtype.kind == "f":
        white = max(white, alpha_white)
    parts = _to_uint8(color_HW3, white), _to_uint8(alpha_HW1, alpha_white)
    return _over_white(np.concatenate(parts, axis=2))


def white_of(array: np.ndarray) -> int:
    """Value of white of an array, by its type and the range of its values.

    Raises:
        ImageError: the type or the range does not describe an image.
    """
    kind = array.dtype.kind
    if kind == "b":
        return 1
    if array.dtype == np.uint8:
        return 255
    if kind not in "iuf":
        raise ImageError(
            f"dtype {array.dtype} cannot hold pixel values; expected integers, floats or booleans"
        )
    low, high = array.min(), array.max()
    if kind == "u":
        return white_level(int(high))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(
            "pixel values are infinite or not a number; expected 0..255, or 0..1 for floats"
        )
    if not (low >= 0 and high <= 255):
        raise ImageError(
            f"pixel values lie in {low:g}..{high:g}; expected 0..255, or 0..1 for floats"
        )
    if kind == "f" and high <= 1:
        return 1
    if kind == "f" and high < _FLOAT_GAP and not (array == np.floor(array)).all():
        raise ImageError(
            f"pixel values lie in {low:g}..{high:g}, between the ranges 0..1 and 0..255 of floats. "
            "Clip them to 0..1, or scale them to one of the ranges"
        )
    return 255


def _to_uint8(array: np.ndarray, white: int) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        return (array * (255 / white)).clip(0, 255).round().astype(np.uint8)
    if white == 255:
        return array.astype(np.uint8)
    return ((array.astype(np.uint32) * 255 + white // 2) // white).clip(0, 255).astype(np.uint8)


def _deep_grey(image: Image.Image, white: int | None) -> np.ndarray:
    grey_HW = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if grey_HW.dtype == np.int32 and tags and 2 not in tags.get(_SAMPLE_FORMAT, ()):
        grey_HW = grey_HW.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
    white = white or _white_of_grey(image, int(grey_HW.min()), int(grey_HW.max()))
    grey_HW1 = _to_uint8(grey_HW, white)[..., None]
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        alpha_HW1 = np.where(grey_HW == clear, 0, 255).astype(np.uint8)[..., None]
        return _over_white(np.concatenate([grey_HW1, grey_HW1, grey_HW1, alpha_HW1], axis=2))
    return np.array(np.broadcast_to(grey_HW1, (*grey_HW.shape, 3)))


def white_of_pil(image: Image.Image) -> int | None:
    """Value of white of an image with one channel of more than 8 bits; None for other images.

    Raises:
        ImageError: the values do not describe an image.
    """
    if image.mode == "F":
        return white_of(np.asarray(image))
    if not image.mode.startswith("I"):
        return None
    low, high = image.getextrema()
    return _white_of_grey(image, int(low), int(high))  # type: ignore[arg-type]


def _white_of_grey(image: Image.Image, low: int, high: int) -> int:
    if low < 0:
        raise ImageError(
            f"pixel values lie in {low}..{high}; expected 0..65535. Convert the image to 8 or 16 "
            "bits without negative values"
        )
    return stated_white(image, high) or white_level(high)


def stated_white(image: Image.Image, high: int) -> int | None:
    """Value of white that a file states, or None.

    Read from the TIFF tags MaxSampleValue and BitsPerSample. PNM files are scaled to 16 bits by
    Pillow. A value below the maximum of the image is passed over.

    Args:
        image: image as it was opened; a copy has lost its tags.
        high: maximum of the image.
    """
    if image.format == "PPM":
        return 65535
    tags = getattr(image, "tag_v2", {})
    highest, bits = _first(tags.get(_MAX_SAMPLE)), _first(tags.get(_BITS))
    if max(high, 255) <= highest <= 65535:
        return highest
    return (1 << bits) - 1 if 8 < bits < 16 and high < 1 << bits else None


def _first(value: Any) -> int:
    value = value[0] if isinstance(value, tuple | list) and value else value
    return value if isinstance(value, int) else 0


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # only an in-place conversion gives None
    return converted


def _over_white(rgba_HW4: np.ndarray) -> np.ndarray:
    alpha_HW1 = rgba_HW4[..., 3:].astype(np.float32) / 255
    rgb_HW3 = rgba_HW4[..., :3] * alpha_HW1 + 255 * (1 - alpha_HW1)
    return rgb_HW3.round().astype(np.uint8)
