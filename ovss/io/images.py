"""Image reading: files, PIL images, arrays and tensors become (H, W, 3) RGB uint8 arrays."""

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
"""Suffixes of the files that are read from a folder; a file passed by itself may have any name."""


class ImageError(ValueError):
    """An image that cannot be used; the message names it and gives the reason."""


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as (H, W, 3) RGB uint8, rotated by its EXIF orientation.

    Grey, palette, CMYK and 16-bit files are converted. Transparent pixels are blended with white.
    Of an animation, the first frame is read.

    Raises:
        ImageError: the file does not exist, is not an image, is truncated, or exceeds Pillow's
            size limit.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if path.is_dir():
        raise ImageError(f"{path} is a folder; expected an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _from_pil(ImageOps.exif_transpose(image))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image that Pillow can read") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read ({reason})") from error


def to_rgb(image: Any) -> np.ndarray:
    """Converts an image to (H, W, 3) RGB uint8.

    Args:
        image: path, PIL image, array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or torch tensor
            (H, W), (1, H, W), (3, H, W) or (4, H, W). Values of uint8 are 0..255 and of uint16
            0..65535. Other integers must lie in 0..255. Floats are 0..1, or 0..255 if any value is
            above 1. Channels are RGB or RGBA; transparent pixels are blended with white.

    Raises:
        ImageError: the type, shape or value range does not describe an image.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _from_pil(ImageOps.exif_transpose(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "detach"):  # recognises a torch tensor without importing torch
        array = image.detach().cpu()
        array = array.float() if array.is_floating_point() else array
        return _from_array(np.moveaxis(array.numpy(), 0, -1) if array.ndim == 3 else array.numpy())
    raise ImageError(
        f"expected a path, PIL image, numpy array or torch tensor, got {type(image).__name__}"
    )


def _from_pil(image: Image.Image) -> np.ndarray:
    if 0 in image.size:
        raise ImageError(f"the image is empty: {image.size[0]} x {image.size[1]} pixels")
    if image.mode == "F":
        return _from_array(np.asarray(image))
    if image.mode.startswith("I"):  # 16-bit grey; Pillow has several mode names for it
        return _from_array(np.asarray(image).clip(0, 65535).astype(np.uint16))
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"shape {array.shape} is not the shape of an image; expected (H, W), (H, W, 1), "
            "(H, W, 3) or (H, W, 4) for an array, or channels first for a tensor"
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
        raise ImageError(
            f"dtype {array.dtype} cannot hold pixel values; expected integers, floats or booleans"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # written so that NaN fails too
        raise ImageError(
            f"pixel values lie in {low:g}..{high:g}; expected 0..255, or 0..1 for floats"
        )
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    return (array * scale).round().astype(np.uint8)


def _over_white(rgba_HW4: np.ndarray) -> np.ndarray:
    alpha_HW1 = rgba_HW4[..., 3:].astype(np.float32) / 255
    rgb_HW3 = rgba_HW4[..., :3] * alpha_HW1 + 255 * (1 - alpha_HW1)
    return rgb_HW3.round().astype(np.uint8)


def find_images(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expands files, folders and glob patterns to a list of files without duplicates.

    A folder contributes the images directly inside it, sorted by name. A pattern such as
    ``photos/**/*.jpg`` contributes the files it matches. A file that does not exist is kept, so
    that reading it reports the error.

    Raises:
        ImageError: a folder contains no images, or a pattern matches no file.
    """
    files: dict[Path, Path] = {}
    for item in sources:
        source, path = os.fspath(item), Path(item)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not matches:
                raise ImageError(f"{path}: found no images in this folder")
        elif not path.exists() and glob.has_magic(source):
            matches = sorted(p for p in map(Path, glob.glob(source, recursive=True)) if p.is_file())
            if not matches:
                raise ImageError(f"{source}: no file matches this pattern")
        else:
            matches = [path]
        for match in matches:
            files.setdefault(match.resolve(), match)
    return list(files.values())
