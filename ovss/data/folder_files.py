"""Checks of label maps against their images: sizes and palettes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ovss.io.decoding import open_pillow
from ovss.io.images import ImageError

from .class_colors import Color
from .files import open_array
from .pairs import MAX_LISTED

_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap width and height


def compare_sizes(pairs: Sequence[tuple[Path, Path]]) -> Counter[str]:
    """Checks by the file headers that each image and its label map have equal sizes.

    Args:
        pairs: paths of each image and its label map.

    Returns:
        Modes of the label maps, as `mask_header` returns them, with their counts.

    Raises:
        ImageError: a file cannot be opened.
        ValueError: sizes differ; the message names the first pairs.
    """
    modes: Counter[str] = Counter()
    wrong = []
    for image, mask in pairs:
        image_size, _ = image_header(image)
        mask_size, mode = mask_header(mask)
        modes[mode] += 1
        if image_size != mask_size:
            wrong.append(
                f"{image} has {image_size[0]} x {image_size[1]} pixels and {mask} "
                f"{mask_size[0]} x {mask_size[1]}"
            )
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(pairs)} label maps differ in size from their images: "
            f"{'; '.join(wrong[:MAX_LISTED])}. Export them at the size of the images"
        )
    return modes


def palette_of(path: Path, raw: Sequence[int]) -> tuple[Color, ...] | None:
    """Reads the colours of T label values from the palette of a PNG.

    Args:
        path: path of the PNG.
        raw: label values of the classes.

    Returns:
        T RGB triples; None if the palette is too short or has equal colours for two classes.
    """
    with Image.open(path) as image:
        flat = image.getpalette() if image.mode == "P" else None
    if flat is None or 3 * max(raw) + 3 > len(flat):
        return None
    colors = tuple((flat[3 * v], flat[3 * v + 1], flat[3 * v + 2]) for v in raw)
    return colors if len(set(colors)) == len(colors) else None


def image_header(path: Path) -> tuple[tuple[int, int], str]:
    """Reads (width, height) of an image after its EXIF rotation, and Pillow's mode.

    Raises:
        ImageError: the file cannot be opened.
    """
    return _header(path, rotate=True)


def mask_header(path: Path) -> tuple[tuple[int, int], str]:
    """Reads (width, height) of a label map, and Pillow's mode or the type of an array.

    Raises:
        ImageError: the file cannot be opened.
    """
    if path.suffix.lower() != ".npy":
        return _header(path, rotate=False)
    array = open_array(path)
    height, width = array.shape
    return (width, height), f"npy {array.dtype}"


def _header(path: Path, rotate: bool) -> tuple[tuple[int, int], str]:
    """Reads (width, height) and Pillow's mode; `rotate` applies the EXIF orientation."""
    try:
        with open_pillow(path, large=True) as image:  # only the header is read
            # getexif() decodes a whole PNG if its header has no EXIF
            has_exif = rotate and (image.format != "PNG" or "exif" in image.info)
            is_rotated = has_exif and image.getexif().get(_ORIENTATION, 1) >= 5
            return (image.size[::-1] if is_rotated else image.size), image.mode
    except Exception as error:  # Pillow raises almost any exception on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read ({reason})") from error
