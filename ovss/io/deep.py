"""Image files with more than 8 bits per channel, where Pillow loses bits or cannot read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from .advice import advised
from .contents import head_of
from .names import ImageError
from .pixels import rgb_from_array, stated_white

__all__ = ["deep_pixels", "is_reduced", "oriented", "tiff_pixels", "too_many_pixels"]

_PLANAR = 284  # TIFF tag: 2 for channels in separate planes
_FULL_RANGE = 64  # in 8 bits: an image that stays below has at most 14 bits in its 16


def is_reduced(image: Image.Image) -> bool:
    """True for an opened image whose file has more bits per channel than Pillow keeps."""
    if image.mode not in ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK"):
        return False
    if image.format == "JPEG2000":  # Pillow does not say how many bits the file has
        return True
    bits = getattr(image, "tag_v2", {}).get(258, 8)
    if isinstance(bits, int | tuple) and max(np.atleast_1d(bits)) > 8:
        return True
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()) or ())


def deep_pixels(image: Image.Image, file: Path | io.BytesIO) -> np.ndarray | None:
    """Pixels with all their bits, or None if the upper 8 bits are enough.

    Pillow keeps the upper 8 of 16 bits of colours, which are black where the data has fewer bits.
    Of JPEG 2000 with 16 bits it makes white pixels black.
    """
    stated, wraps = stated_white(image, 0), False
    if image.format == "JPEG2000":
        bits = _jpeg2000_bits(head_of(file, 4096))
        stated, wraps = (1 << bits) - 1 if 8 < bits < 16 else None, bits > 8
    if getattr(image, "tag_v2", {}).get(_PLANAR) == 2:  # Pillow and OpenCV decode these wrongly
        raise _separate_planes()
    if stated is None and not wraps and _brightest(image) >= _FULL_RANGE:
        return None
    array = _opencv(file)
    if array is None or array.dtype != np.uint16:
        return None
    high = int(array[..., : min(3, array.shape[-1])].max()) if array.ndim == 3 else int(array.max())
    return rgb_from_array(array, stated if stated is not None and high <= stated else None)


def _brightest(image: Image.Image) -> int:
    extrema = np.atleast_2d(image.getextrema())
    colors = extrema[:-1] if image.mode in ("LA", "RGBA") else extrema
    return int(colors.max())


def tiff_pixels(file: Path | io.BytesIO, limit: int | None) -> np.ndarray:
    """TIFF files that Pillow does not know, such as colours in 32-bit floats."""
    with file.open("rb") if isinstance(file, Path) else io.BytesIO(file.getvalue()) as stream:
        header = stream.read(16)
        tags = TiffImagePlugin.ImageFileDirectory_v2(header if b"+" in header[:4] else header[:8])
        stream.seek(tags.next)
        tags.load(stream)
        width, height = int(tags.get(256, 0)), int(tags.get(257, 0))
        bits, kind = tags.get(258, (1,)), tags.get(339, (1,))
        orientation = tags.get(274, 1)
        planar = tags.get(_PLANAR, 1)
    if planar == 2 and len(bits) > 1:
        raise _separate_planes()
    if limit is not None and width * height > limit:
        raise too_many_pixels((width, height), limit)
    array = None if (set(bits), set(kind)) == ({16}, {3}) else _opencv(file)
    if array is None:
        names = {1: "unsigned integers", 2: "signed integers", 3: "floats"}
        values = names.get(kind[0] if kind else 1, "values")
        raise ImageError(
            f"a TIFF that cannot be read, with {len(bits)} channels of {bits[0]}-bit {values}. "
            "Convert it to 8 or 16 bits"
        )
    return oriented(rgb_from_array(array), orientation if orientation in range(1, 9) else 1)


def _opencv(file: Path | io.BytesIO) -> np.ndarray | None:
    """Array (H, W) or (H, W, C) with RGB(A) channels as OpenCV decodes it, or None."""
    import cv2

    data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if array is not None and array.ndim == 3 and array.shape[2] >= 3:
        array = array[..., [2, 1, 0, *range(3, array.shape[2])]]
    return array


def _jpeg2000_bits(head: bytes) -> int:
    """Bits per channel that the first marker of a JPEG 2000 codestream states."""
    start = head.find(b"\xff\x4f\xff\x51") + 4
    return (head[start + 38] & 0x7F) + 1 if 4 <= start < len(head) - 38 else 8


def _separate_planes() -> ImageError:
    return ImageError(
        "a TIFF of separate planes of more than 8 bits, which cannot be read. Save it with "
        "interleaved channels"
    )


def too_many_pixels(size: tuple[int, int], limit: int) -> ImageError:
    """Error about an image above the limit, with the advice topic ``large``."""
    return advised(
        ImageError(
            f"the image has {size[0]} x {size[1]} pixels; expected at most {limit:,}, the limit "
            "against small files that unpack to more than the memory holds. Read it as a large "
            "image if you trust the file"
        ),
        "large",
    )


def oriented(array_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors pixels as an EXIF orientation asks, so that the image is upright."""
    if orientation == 1:
        return array_HWC
    flipped = {
        2: array_HWC[:, ::-1],
        3: array_HWC[::-1, ::-1],
        4: array_HWC[::-1],
        5: array_HWC.swapaxes(0, 1),
        6: array_HWC[::-1].swapaxes(0, 1),
        7: array_HWC[::-1, ::-1].swapaxes(0, 1),
        8: array_HWC[:, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(flipped[orientation])
