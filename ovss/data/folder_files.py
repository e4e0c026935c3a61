"""Checks of label maps against their images: file names, sizes and palettes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ovss.io.advice import advised
from ovss.io.images import ImageError

from .class_colors import Color
from .files import MASK_SUFFIXES
from .pairs import MAX_LISTED, files_below
from .splits import LayoutError

_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap width and height


def find_suffix(paths: Sequence[Path], images: Path, masks: Path) -> str:
    """Detects the suffix that label maps have after the names of their images.

    Args:
        paths: paths of the images.
        images: folder of the images.
        masks: folder of the label maps.

    Raises:
        FileNotFoundError: no label map begins with an image's name.
        LayoutError: several suffixes fit equally well.
    """
    stems = {path.relative_to(images).with_suffix("") for path in paths}
    found = (path for path in files_below(masks) if path.suffix.lower() in MASK_SUFFIXES)
    files = sorted(path.relative_to(masks) for path in found)
    suffixes: Counter[str] = Counter()  # every tail after an image's name is a candidate
    for file in files:
        name = file.name
        for end in (i for i, letter in enumerate(name) if letter in "._-" and i):
            if file.with_name(name[:end]) in stems:
                suffixes[name[end:]] += 1
    if not suffixes:
        example = f"files such as {files[0]}" if files else "no label maps"
        raise FileNotFoundError(
            f"Label maps must begin with the name of an image in {images}: expected files such as "
            f"{min(stems)}.png in {masks}, found {example}"
        )
    best = max(suffixes.values())
    most = sorted(suffix for suffix, count in suffixes.items() if count == best)
    if len(most) > 1:
        error = LayoutError(
            f"{masks} has label maps with the suffixes {', '.join(most)} for the same images. "
            f'Choose one: write {{"mask_suffix": "{most[-1]}"}} into a JSON file of the dataset'
        )
        raise advised(error, "mask_suffix")
    return most[0]


def compare_sizes(pairs: Sequence[tuple[Path, Path]]) -> Counter[str]:
    """Checks by the file headers that each image and its label map have equal sizes.

    Args:
        pairs: paths of each image and its label map.

    Returns:
        Pillow's modes of the label maps with their counts.

    Raises:
        ImageError: a file cannot be opened.
        ValueError: sizes differ; the message names the first pairs.
    """
    modes: Counter[str] = Counter()
    wrong = []
    for image, mask in pairs:
        image_size, _ = _header(image, rotate=True)
        mask_size, mode = _header(mask, rotate=False)
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


def _header(path: Path, rotate: bool) -> tuple[tuple[int, int], str]:
    """Reads (width, height) and Pillow's mode; `rotate` applies the EXIF orientation."""
    try:
        with Image.open(path) as image:
            # getexif() decodes a whole PNG if its header has no EXIF
            has_exif = rotate and (image.format != "PNG" or "exif" in image.info)
            is_rotated = has_exif and image.getexif().get(_ORIENTATION, 1) >= 5
            return (image.size[::-1] if is_rotated else image.size), image.mode
    except Exception as error:  # Pillow raises almost any exception on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read ({reason})") from error
