"""Label maps and texts, with errors that say which file is wrong. Pictures: `ovss.image_io`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovss.io.images import ImageError

MASK_SUFFIXES = frozenset((".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm"))
"""What keeps label values as they are; JPEG and WebP do not."""

_LARGEST = 16 << 20  # bytes: a text that is larger is an annotation file
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_labels(path: str | Path) -> NDArray[np.integer]:
    """The raw values of a label map, (H, W): 16-bit files keep 16 bits, palettes their indices.

    Raises:
        ImageError: no such file, damaged, or not one channel of indices.
    """
    picture = _open(path)
    if picture.mode not in _MODES:
        raise ImageError(
            f"{path}: a label map of mode {picture.mode}; expected one channel of indices "
            f"(grey, palette or 16 bit), not colours. Colours need a palette"
        )
    raw_HW = np.array(picture)
    return raw_HW.astype(np.uint8) if raw_HW.dtype == np.bool_ else raw_HW


def read_label_colors(path: str | Path) -> NDArray[np.uint8]:
    """The colours of a label map, (H, W, 3) RGB.

    Raises:
        ImageError: no such file, damaged, not in colours, or partly transparent.
    """
    picture = _open(path)
    if picture.mode not in ("RGB", "RGBA"):
        raise ImageError(
            f"{path}: a label map of mode {picture.mode}; the palette's classes are told by "
            f"colour, so it must be RGB. For masks of indices leave the palette out"
        )
    colors_HWC = np.array(picture)
    if not (colors_HWC[..., 3:] == 255).all():
        raise ImageError(f"{path}: a label map with transparent pixels; save it without")
    return colors_HWC[..., :3]


def read_text(path: Path) -> str:
    """A class file or a list of pictures, UTF-8 with or without a mark of that.

    Raises:
        FileNotFoundError: no such file. ValueError: no UTF-8 text, or too large for either.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes: too many for a list of names")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from None


def read_list(path: Path) -> tuple[str, ...]:
    """The pictures that a list names, one a line; raises as `read_text`."""
    return tuple(line.strip() for line in read_text(path).split("\n") if line.strip())


def _open(path: str | Path) -> Image.Image:
    if Path(path).suffix.lower() not in MASK_SUFFIXES:
        kinds = ", ".join(sorted(MASK_SUFFIXES))
        raise ImageError(
            f"{path}: a label map must be stored without loss ({kinds}); JPEG and the like change "
            f"its values. Export it as PNG"
        )
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read as a label map: {reason}") from error
