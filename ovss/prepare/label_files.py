"""Label files in and out, strictly: what an official file cannot be is an error that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovss.io.files import write_atomic

from .recipe import LabelError, Labels

__all__ = [
    "image_size",
    "read_colours",
    "read_indices",
    "read_label_map",
    "read_picture",
    "write_labels",
]

_WIDE = ("u2", "u4", "i2", "i4", "f4", "f8")
_ROTATED = (5, 6, 7, 8)
_ORIENTATION = 0x0112


T = TypeVar("T")


def _read(path: Path, take: Callable[[Image.Image], T]) -> T:
    """What is taken from a picture while its file is open."""
    try:
        with Image.open(path) as picture:
            return take(picture)
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file") from None
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise LabelError(
            f"{path}: cannot be read ({reason}); unpack or download this file again"
        ) from error


def read_indices(path: Path) -> NDArray[np.uint8]:
    """An 8-bit map of indices, (H, W): grey values as they are, of palettes the indices.

    Raises:
        LabelError: missing, damaged, colours, or 16 bits.
    """
    mode, raw_HW = _read(path, lambda picture: (picture.mode, np.array(picture)))
    if mode not in ("L", "P"):
        raise LabelError(
            f"{path}: a picture of mode {mode}; the official file has one channel of 8-bit "
            f"indices (grey or palette). Colours cannot be told apart safely, so take the file of "
            f"the official archive"
        )
    return raw_HW


def read_colours(path: Path) -> NDArray[np.uint8]:
    """An RGB file whose channels are numbers, (H, W, 3).

    Raises:
        LabelError: missing, damaged, or of another mode.
    """
    mode, raw_HW3 = _read(path, lambda picture: (picture.mode, np.array(picture)))
    if mode != "RGB":
        raise LabelError(
            f"{path}: a picture of mode {mode}; the official file is RGB, since 8 bits in "
            f"one channel cannot hold its classes. Take the file of the official archive"
        )
    return raw_HW3


def read_label_map(path: Path) -> NDArray[np.int32]:
    """The variable LabelMap of a MATLAB file, (H, W).

    Raises:
        ImportError: no scipy.
        LabelError: no MATLAB file, no LabelMap in it, not two-dimensional, 8 bits, or fractions.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError("reading .mat files needs scipy: pip install scipy") from None
    try:
        # as MATLAB would have it: small numbers are stored in fewer bytes than their type has
        content = loadmat(path, variable_names=["LabelMap"], mat_dtype=True)
    except Exception as error:  # damaged and newer files raise nearly anything
        reason = str(error) or type(error).__name__
        raise LabelError(
            f"{path}: cannot be read as a MATLAB file ({reason}); unpack trainval.tar.gz again"
        ) from error
    map_HW = content.get("LabelMap")
    if map_HW is None or map_HW.ndim != 2 or map_HW.dtype.kind not in "uif":
        raise LabelError(f"{path}: has no LabelMap of numbers; take the file of trainval.tar.gz")
    if map_HW.dtype.str[1:] not in _WIDE:
        raise LabelError(
            f"{path}: LabelMap has type {map_HW.dtype}, 8 bits: 459 classes do not fit, some are "
            f"lost. Take the official file, which has 16"
        )
    if map_HW.dtype.kind == "f" and not (np.isfinite(map_HW) & (map_HW == np.floor(map_HW))).all():
        raise LabelError(f"{path}: LabelMap has fractions; take the file of trainval.tar.gz")
    return map_HW.astype(np.int32)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A photograph as its pixels lie, (H, W, 3) RGB, not turned by what EXIF says.

    Raises:
        LabelError: missing or damaged.
    """
    return _read(path, lambda picture: np.array(picture.convert("RGB")))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) as a reader sees the picture, from its header.

    Raises:
        LabelError: missing, no picture, or one that EXIF lays on its side.
    """
    (width, height), turned = _read(path, lambda p: (p.size, p.getexif().get(_ORIENTATION)))
    if turned in _ROTATED:
        raise LabelError(
            f"{path}: EXIF lays this picture on its side, its labels are not. The official file "
            f"has no such mark; take that one"
        )
    return height, width


def write_labels(path: Path, labels: Labels) -> int:
    """Write class indices: uint8 as PNG, uint16 as TIFF; all or nothing.

    Returns:
        the bytes of the file.
    """
    if labels.dtype == np.uint8:
        write_atomic(path, lambda file: Image.fromarray(labels).save(file, "PNG"))
    elif labels.dtype == np.uint16:
        write_atomic(
            path,
            lambda file: Image.fromarray(labels).save(file, "TIFF", compression="tiff_lzw"),
        )
    else:
        raise TypeError(f"labels of {labels.dtype}: expected uint8 or uint16")
    return path.stat().st_size
