"""Label maps beside their pictures: how they are called, their sizes, their colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ovss.io.advice import advised
from ovss.io.images import ImageError

from .class_colors import Color
from .files import MASK_SUFFIXES
from .pairs import SHOWN, files_below
from .splits import LayoutError

_ORIENTATION = 0x0112  # of EXIF; from 5 on the picture is shown lying on its side


def find_suffix(pictures: Sequence[Path], images: Path, masks: Path) -> str:
    """How the names of label maps go on after the names of their pictures.

    Raises:
        FileNotFoundError: no label map begins with a picture's name. LayoutError: several ways.
    """
    stems = {path.relative_to(images).with_suffix("") for path in pictures}
    found = (path for path in files_below(masks) if path.suffix.lower() in MASK_SUFFIXES)
    files = sorted(path.relative_to(masks) for path in found)
    suffixes: Counter[str] = Counter()
    for file in files:
        name = file.name
        for end in (i for i, letter in enumerate(name) if letter in "._-" and i):
            if file.with_name(name[:end]) in stems:
                suffixes[name[end:]] += 1
    if not suffixes:
        instead = f"such as {files[0]}" if files else "and there are none"
        raise FileNotFoundError(
            f"no label map in {masks} is called like a picture in {images}: expected one such as "
            f"{min(stems)}.png, found {instead}"
        )
    best = max(suffixes.values())
    most = sorted(suffix for suffix, count in suffixes.items() if count == best)
    if len(most) > 1:
        error = LayoutError(
            f"{masks} has label maps that end in {', '.join(most)} for the same images. Choose "
            f'one: write {{"mask_suffix": "{most[-1]}"}} into a JSON file of the dataset'
        )
        raise advised(error, "mask_suffix")
    return most[0]


def compare_sizes(pairs: Sequence[tuple[Path, Path]]) -> Counter[str]:
    """Check that pictures and label maps have the same size, by their headers.

    Returns:
        Pillow's modes of the label maps, and how many have each.

    Raises:
        ImageError: a file that cannot be opened. ValueError: sizes differ; names the first pairs.
    """
    modes: Counter[str] = Counter()
    wrong = []
    for image, mask in pairs:
        (image_size, _), (mask_size, mode) = _header(image, True), _header(mask, False)
        modes[mode] += 1
        if image_size != mask_size:
            wrong.append(
                f"{image} has {image_size[0]} x {image_size[1]} pixels and {mask} "
                f"{mask_size[0]} x {mask_size[1]}"
            )
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(pairs)} label maps differ in size from their pictures: "
            f"{'; '.join(wrong[:SHOWN])}. Export them again at the pictures' size"
        )
    return modes


def palette_of(path: Path, raw: Sequence[int]) -> tuple[Color, ...] | None:
    """The colours that a palette PNG has for T label values; None where it has none for one of
    them, or one colour for two."""
    with Image.open(path) as picture:
        flat = picture.getpalette() if picture.mode == "P" else None
    if flat is None or 3 * max(raw) + 3 > len(flat):
        return None
    colors = tuple((flat[3 * v], flat[3 * v + 1], flat[3 * v + 2]) for v in raw)
    return colors if len(set(colors)) == len(colors) else None


def _header(path: Path, shown: bool) -> tuple[tuple[int, int], str]:
    """Width and height, as it is shown or as it is stored, and Pillow's mode."""
    try:
        with Image.open(path) as picture:
            told = shown and (picture.format != "PNG" or "exif" in picture.info)
            turned = told and picture.getexif().get(_ORIENTATION, 1) >= 5
            return (picture.size[::-1] if turned else picture.size), picture.mode
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read: {reason}") from error
