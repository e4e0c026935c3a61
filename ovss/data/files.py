"""Readers of label maps and text files, with errors that name the file.

Images are read by `ovss.io.images`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovss.io.advice import advice_of, advised
from ovss.io.decoding import open_pillow
from ovss.io.images import ImageError
from ovss.io.text import read_utf8, text_lines

MASK_SUFFIXES = frozenset((".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".npy"))
"""Lossless file types, which keep label values; JPEG and WebP do not."""

LOSSY_SUFFIXES = frozenset((".jpg", ".jpeg", ".jfif", ".webp"))
"""File types that change label values."""

LOSSY_REASON = (
    "because JPEG and WebP change label values near edges, and no conversion restores them. Export "
    "the label maps as PNG from the program that made them"
)

_MAX_BYTES = 16 << 20  # a larger text file is an annotation file, not a list of names
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_labels(path: str | Path, large: bool = False) -> NDArray[np.integer]:
    """Reads the raw values of a label map, (H, W).

    Files of 16 and 32 bits keep their values; files with a palette give its indices. A ``.npy``
    file holds an integer array of shape (H, W), (1, H, W) or (H, W, 1).

    Args:
        path: path of the label map.
        large: True to read label maps of any size, see `ovss.io.decoding.open_pillow`.

    Raises:
        ImageError: the file does not exist, is damaged, is too large, or is not one channel of
            indices.
    """
    if Path(path).suffix.lower() == ".npy":
        return np.array(open_array(path))
    image = _open(path, large)
    if image.mode not in _MODES:
        raise ImageError(
            f"{path}: expected a label map with one channel of indices (grey, palette or 16 bit), "
            f"got mode {image.mode}. To read colours, give a palette"
        )
    raw_HW = np.array(image)
    return raw_HW.astype(np.uint8) if raw_HW.dtype == np.bool_ else raw_HW


def open_array(path: str | Path) -> NDArray[np.integer]:
    """Opens a ``.npy`` label array, (H, W), whose values are read when they are used.

    Raises:
        ImageError: the file does not exist, is damaged, or is not an array of integers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ImageError(f"Label map {path} does not exist") from None
    except Exception as error:  # a file with objects, or a damaged one
        raise ImageError(f"{path}: cannot be read as an array ({error})") from error
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise ImageError(
            f"{path}: expected an integer array of shape (height, width), got {array.dtype} of "
            f"shape {array.shape}. Save class indices, for example with "
            f"numpy.save(path, labels.astype(numpy.uint16))"
        )
    if 0 in array.shape:
        raise ImageError(f"{path}: the label map is empty ({array.shape[0]} x {array.shape[1]})")
    return array.view(np.uint8) if array.dtype.kind == "b" else array


def read_label_colors(path: str | Path, large: bool = False) -> NDArray[np.uint8]:
    """Reads the colours of a label map, (H, W, 3) RGB.

    Args:
        path: path of the label map.
        large: True to read label maps of any size.

    Raises:
        ImageError: the file does not exist, is damaged, is too large, is not RGB, or is partly
            transparent.
    """
    image = _open(path, large)
    if image.mode not in ("RGB", "RGBA"):
        raise ImageError(
            f"{path}: expected an RGB label map because a palette identifies classes by colour, "
            f"got mode {image.mode}. For label maps of indices remove the palette"
        )
    colors_HWC = np.array(image)
    if not (colors_HWC[..., 3:] == 255).all():
        raise ImageError(f"{path}: the label map has transparent pixels. Save it without them")
    return colors_HWC[..., :3]


def read_text(path: Path) -> str:
    """Reads a class file or a list of images, UTF-8 with or without a byte-order mark.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is a folder, is not UTF-8 text, or is too large.
    """
    return read_utf8(path, _MAX_BYTES)


def read_list(path: Path) -> tuple[str, ...]:
    """Reads a list of images, one per line; raises as `read_text`."""
    return tuple(line.strip() for line in text_lines(read_text(path)) if line.strip())


def _open(path: str | Path, large: bool) -> Image.Image:
    if Path(path).suffix.lower() in LOSSY_SUFFIXES:
        raise ImageError(f"{path}: expected a lossless label map {LOSSY_REASON}")
    if Path(path).suffix.lower() not in MASK_SUFFIXES:
        kinds = ", ".join(sorted(MASK_SUFFIXES))
        raise ImageError(f"{path}: expected a label map ({kinds}). Export it as PNG")
    try:
        with open_pillow(Path(path), large) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise ImageError(f"Label map {path} does not exist") from None
    except ImageError as error:  # too many pixels
        advice = advice_of(error)
        named = ImageError(f"Label map {path}: {error}")
        raise advised(named, *advice.topics, **advice.values) from None
    except Exception as error:  # Pillow raises almost any exception on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read as a label map ({reason})") from error
