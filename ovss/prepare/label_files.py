"""Strict reading and writing of label files: unexpected content raises an error with the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovss.io.contents import reason_of_error
from ovss.io.files import write_atomic
from ovss.io.regular import ensure_readable

from .recipe import LabelError, Labels

__all__ = [
    "image_size",
    "read_colours",
    "read_indices",
    "read_label_map",
    "read_rgb",
    "write_labels",
]

_WIDE = ("u2", "u4", "i2", "i4", "f4", "f8")
_ROTATED = (5, 6, 7, 8)
_ORIENTATION = 0x0112

T = TypeVar("T")


def _read(path: Path, extract: Callable[[Image.Image], T]) -> T:
    """Result of `extract` for an image, called while the file is open."""
    try:
        ensure_readable(path)
        with Image.open(path) as image:
            return extract(image)
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file") from None
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise LabelError(
            f"{path} cannot be read ({reason_of_error(error)}). Unpack or download this file again."
        ) from error


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Reads an 8-bit label map (H, W): the values of a grey image, the indices of a palette image.

    Raises:
        LabelError: the file is missing or damaged, or holds colours or 16 bits.
    """
    mode, raw_HW = _read(path, lambda image: (image.mode, np.array(image)))
    if mode not in ("L", "P"):
        raise LabelError(
            f"{path}: expected one channel of 8-bit indices (grey or palette), found an image of "
            f"mode {mode}. Colours cannot be mapped back to classes reliably. Use the file from "
            f"the official archive."
        )
    return raw_HW


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Reads an RGB label file whose channels encode numbers, (H, W, 3).

    Raises:
        LabelError: the file is missing, damaged or not RGB.
    """
    mode, raw_HW3 = _read(path, lambda image: (image.mode, np.array(image)))
    if mode != "RGB":
        raise LabelError(
            f"{path}: expected an RGB image, found mode {mode}. The official file is RGB because "
            f"8 bits cannot hold its classes. Use the file from the official archive."
        )
    return raw_HW3


def read_label_map(path: Path) -> NDArray[np.int32]:
    """Reads the variable LabelMap of a MATLAB file, (H, W).

    Raises:
        ImportError: scipy is not installed.
        LabelError: the file is not a MATLAB file, or LabelMap is missing, not two-dimensional,
            stored in 8 bits, or contains fractions.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError("scipy is needed to read .mat files. Run `pip install scipy`.") from None
    try:
        # mat_dtype gives the MATLAB type; files store small numbers in fewer bytes than that
        content = loadmat(path, variable_names=["LabelMap"], mat_dtype=True)
    except Exception as error:  # damaged and newer files raise nearly anything
        reason = str(error) or type(error).__name__
        raise LabelError(
            f"{path} cannot be read as a MATLAB file ({reason}). Unpack trainval.tar.gz again."
        ) from error
    label_map_HW = content.get("LabelMap")
    if label_map_HW is None or label_map_HW.ndim != 2 or label_map_HW.dtype.kind not in "uif":
        raise LabelError(f"{path} has no numeric LabelMap. Use the file from trainval.tar.gz.")
    if label_map_HW.dtype.str[1:] not in _WIDE:
        raise LabelError(
            f"{path}: LabelMap has 8 bits ({label_map_HW.dtype}), so some of the 459 classes are "
            f"lost. Use the official file, which has 16."
        )
    if label_map_HW.dtype.kind == "f" and not _are_whole(label_map_HW):
        raise LabelError(f"{path}: LabelMap has fractions. Use the file from trainval.tar.gz.")
    return label_map_HW.astype(np.int32)


def _are_whole(values: NDArray[np.floating]) -> bool:
    return bool((np.isfinite(values) & (values == np.floor(values))).all())


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Reads the pixels of an image as stored, (H, W, 3) RGB, ignoring the EXIF orientation.

    Raises:
        LabelError: the file is missing or damaged.
    """
    return _read(path, lambda image: np.array(image.convert("RGB")))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image, read from its header.

    Raises:
        LabelError: the file is missing, is not an image, or has an EXIF orientation that swaps
            height and width.
    """
    (width, height), orientation = _read(
        path, lambda image: (image.size, image.getexif().get(_ORIENTATION))
    )
    if orientation in _ROTATED:
        raise LabelError(
            f"{path}: EXIF rotates this image by 90 degrees, but its label map is not rotated. Use "
            f"the official file, which has no such tag."
        )
    return height, width


def write_labels(path: Path, labels: Labels) -> int:
    """Writes a label map atomically: uint8 as PNG, uint16 as TIFF.

    Returns:
        Size of the file in bytes.

    Raises:
        TypeError: the labels have another dtype.
    """
    if labels.dtype == np.uint8:
        write_atomic(path, lambda file: Image.fromarray(labels).save(file, "PNG"), durable=False)
    elif labels.dtype == np.uint16:
        write_atomic(
            path,
            lambda file: Image.fromarray(labels).save(file, "TIFF", compression="tiff_lzw"),
            durable=False,
        )
    else:
        raise TypeError(f"expected labels of dtype uint8 or uint16, got {labels.dtype}")
    return path.stat().st_size
