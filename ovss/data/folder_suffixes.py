"""Detection of the ends that file names of images and of their labels have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ovss.io.advice import advised

from .files import LOSSY_REASON, LOSSY_SUFFIXES
from .pairs import files_below, normal_form
from .splits import LayoutError

_MASK_WORD = re.compile(
    r"[._-](mask|masks|label|labels|label_?ids?|gt|seg|segmentation|annotations?)$", re.IGNORECASE
)


class Suffixes(NamedTuple):
    """Ends of file names: of label files after the common name, and of images before the type."""

    mask: str
    image: str = ""


def find_suffixes(
    paths: Sequence[Path], images: Path, masks: Path, types: Collection[str]
) -> Suffixes:
    """Detects the suffix of label files, and the end of image names that label files lack.

    Args:
        paths: paths of the images; in a folder of both, also those of the label maps.
        images: folder of the images.
        masks: folder of the label files.
        types: file types of label files.

    Raises:
        FileNotFoundError: no label file begins with an image's name.
        LayoutError: several suffixes fit equally well.
    """
    if images == masks:
        paths = [path for path in paths if not _MASK_WORD.search(path.stem)] or paths
    stems: dict[str, set[Path]] = {}
    for path in paths:
        stems.setdefault(normal_form(path.relative_to(images).with_suffix("")), set()).add(path)
    files = sorted(path for path in files_below(masks) if path.suffix.lower() in types)
    names = [(path, normal_form(path.relative_to(masks))) for path in files]
    suffixes = _count(names, stems)
    image_suffix = ""
    if not suffixes:
        for image_suffix in _shared_ends(stems):
            shorter = {stem.removesuffix(image_suffix): found for stem, found in stems.items()}
            suffixes = _count(names, shorter)
            if suffixes and len(shorter) == len(stems):
                break
    if not suffixes:
        lossy = next((p for p in files_below(masks) if p.suffix.lower() in LOSSY_SUFFIXES), None)
        if not files and lossy is not None and images != masks:
            raise LayoutError(f"Expected lossless label maps, found {lossy}, {LOSSY_REASON}")
        example = f"files such as {names[0][1]}" if files else "no label maps"
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
    return Suffixes(most[0], image_suffix)


def image_suffix_of(paths: Sequence[Path], images: Path, masks: Path, mask_suffix: str) -> str:
    """Detects the end of image names that label files lack, if the suffix of those is known.

    Args:
        paths: paths of the images.
        images: folder of the images.
        masks: folder of the label files.
        mask_suffix: suffix of label files.
    """
    stems = {normal_form(path.relative_to(images).with_suffix("")) for path in paths}
    known = {normal_form(path.relative_to(masks)) for path in files_below(masks)}
    if any(stem + mask_suffix in known for stem in stems):
        return ""
    for end in _shared_ends(stems):
        if any(stem.removesuffix(end) + mask_suffix in known for stem in stems):
            return end
    return ""


def _count(names: Sequence[tuple[Path, str]], stems: dict[str, set[Path]]) -> Counter[str]:
    """Counts every tail after the name of another file, an image, as a candidate."""
    suffixes: Counter[str] = Counter()
    for path, name in names:
        start = name.rfind("/") + 1
        for end in (i for i, letter in enumerate(name) if letter in "._-" and i > start):
            if stems.get(name[:end], set()) - {path}:
                suffixes[name[end:]] += 1
    return suffixes


def _shared_ends(stems: Collection[str]) -> Iterator[str]:
    """Ends from a `_`, `-` or `.` that all names have, the shortest first."""
    first = min(stems)
    start = first.rfind("/") + 1
    for i in range(len(first) - 1, start, -1):
        if first[i] in "._-" and all(stem.endswith(first[i:]) for stem in stems):
            yield first[i:]
