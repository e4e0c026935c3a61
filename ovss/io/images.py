"""Pictures in, from wherever they come: always (H, W, 3) RGB uint8."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "find_images",
    "read_image",
    "to_rgb",
]

IMAGE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("bmp", "gif", "jfif", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tga")
    + ("tif", "tiff", "webp")
)
"""What counts as a picture when a folder is named; a file named itself may be called anything."""


class ImageError(ValueError):
    """A picture that cannot be used; the message names it and says why."""


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture file as (H, W, 3) RGB uint8, turned upright by its EXIF orientation.

    Grey, palette, CMYK and 16-bit files are converted; transparency is laid over white; of an
    animation the first frame counts.

    Raises:
        ImageError: no such file, not a picture, truncated, or past Pillow's size limit.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if path.is_dir():
        raise ImageError(f"{path}: a folder, not a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _from_pil(ImageOps.exif_transpose(image))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path}: not a picture that Pillow can read") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read: {reason}") from error


def to_rgb(image: Any) -> np.ndarray:
    """A picture in memory, or the path of one, as (H, W, 3) RGB uint8.

    Args:
        image: a path; a PIL image; an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); or a torch
            tensor (H, W), (1, H, W), (3, H, W) or (4, H, W). Integers up to 8 bits are 0..255,
            uint16 is 0..65535, other integers must lie in 0..255; floats are 0..1, or 0..255
            where any value is above 1. Channels are RGB or RGBA (laid over white).

    Raises:
        ImageError: a shape, type or value range that means no picture.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _from_pil(ImageOps.exif_transpose(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "detach"):  # a torch tensor, told without importing torch
        array = image.detach().cpu()
        array = array.float() if array.is_floating_point() else array
        return _from_array(np.moveaxis(array.numpy(), 0, -1) if array.ndim == 3 else array.numpy())
    raise ImageError(
        f"expected a path, PIL image, numpy array or tensor, got {type(image).__name__}"
    )


def _from_pil(image: Image.Image) -> np.ndarray:
    if 0 in image.size:
        raise ImageError(f"an empty picture: {image.size[0]} x {image.size[1]} pixels")
    if image.mode == "F":
        return _from_array(np.asarray(image))
    if image.mode.startswith("I"):  # 16-bit grey, under one of several names
        return _from_array(np.asarray(image).clip(0, 65535).astype(np.uint16))
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"shape {array.shape} is no picture: expected (H, W), (H, W, 1), (H, W, 3) or "
            "(H, W, 4) of an array, channels first of a tensor"
        )
    array = _to_uint8(array)
    if array.shape[2] == 4:
        return _over_white(array)
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ImageError(f"values of type {array.dtype} are no pixels")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # also where a value is NaN
        raise ImageError(f"values from {low:g} to {high:g}: expected 0..255, or 0..1 of floats")
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    return (array * scale).round().astype(np.uint8)


def _over_white(rgba_HW4: np.ndarray) -> np.ndarray:
    alpha_HW1 = rgba_HW4[..., 3:].astype(np.float32) / 255
    rgb_HW3 = rgba_HW4[..., :3] * alpha_HW1 + 255 * (1 - alpha_HW1)
    return rgb_HW3.round().astype(np.uint8)


def find_images(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files, folders and glob patterns as one list of files, in the order given, none twice.

    A folder stands for the pictures directly in it, a pattern (``photos/**/*.jpg``) for the files
    that it matches. A file that does not exist is kept, to be reported where it is read.

    Raises:
        ImageError: a folder without a picture, or a pattern without a match.
    """
    found: dict[Path, Path] = {}
    for given in sources:
        source, path = os.fspath(given), Path(given)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not matches:
                raise ImageError(f"{path}: no pictures in this folder")
        elif not path.exists() and glob.has_magic(source):
            matches = sorted(p for p in map(Path, glob.glob(source, recursive=True)) if p.is_file())
            if not matches:
                raise ImageError(f"{source}: no file matches this pattern")
        else:
            matches = [path]
        for match in matches:
            found.setdefault(match.resolve(), match)
    return list(found.values())
