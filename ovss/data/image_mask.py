"""Your own pictures and label maps, in two folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmengine.registry import DATASETS

from ovss.image_io import read_image
from ovss.selection import IGNORE
from ovss.vocabularies import load_names

from .base import Picture, SegmentationDataset
from .files import read_labels
from .labels import LabelBorder, category_key, seen_mask

_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


@DATASETS.register_module()
class ImageMaskDataset(SegmentationDataset):
    """A folder of pictures and a folder of label maps with the same names.

    Args:
        images: folder of the pictures, searched through its subfolders.
        masks: folder of the label maps, laid out alike; None where there are none (prediction).
        vocabulary: the T category names: a list, a text file with one a line, or a registered name.
        seen: names that training may show (list, file or registered name); None: all.
        only_seen: True narrows the vocabulary to the seen names and ignores the other pixels, as
            training must: a word that never has a pixel would be learnt as "never there".
        label_map: raw value -> category name or index in `vocabulary`; None: raw values are the
            indices.
        ignored: raw values that mean "not labelled"; they become IGNORE.
        mask_suffix: how the name of a label map ends where the picture's ends in its file type.
        pipeline, seed: see `SegmentationDataset`.

    Raises:
        FileNotFoundError: a folder is missing or empty, or a picture lacks its label map.
        ValueError: a name in `seen` or `label_map` that is not in the vocabulary.
    """

    def __init__(
        self,
        images: str,
        masks: str | None,
        vocabulary: str | Sequence[str],
        pipeline: Sequence[dict | Callable],
        seen: str | Sequence[str] | None = None,
        only_seen: bool = False,
        label_map: Mapping[int, str | int] | None = None,
        ignored: Sequence[int] = (),
        mask_suffix: str = ".png",
        seed: int = 0,
    ) -> None:
        every = load_names(vocabulary)
        shown = every if seen is None else load_names(seen)
        _check_known(shown, every, "seen")
        is_seen = seen_mask(every, shown)
        kept = tuple(n for n, ok in zip(every, is_seen) if ok or not only_seen)
        super().__init__(kept, [n for n, ok in zip(every, is_seen) if ok], pipeline, seed)
        new_index = {name: i for i, name in enumerate(kept)}
        raw_names = dict(enumerate(every)) if label_map is None else _named(label_map, every)
        mapping = {raw: new_index.get(name, IGNORE) for raw, name in raw_names.items()}
        self.border = LabelBorder(len(kept), mapping, ignored)
        self.pairs = _find_pairs(Path(images), None if masks is None else Path(masks), mask_suffix)

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> Picture:
        image_path, mask_path = self.pairs[index]
        image = read_image(image_path)
        if mask_path is None:
            return Picture(image, None, str(image_path))
        raw = read_labels(mask_path)
        if raw.shape != image.shape[:2]:
            raise ValueError(
                f"label map {mask_path} has (height, width) {raw.shape}, its image {image_path} "
                f"{image.shape[:2]}; they must be the same picture at the same size"
            )
        return Picture(image, self.border(raw, str(mask_path)), str(image_path))


def _check_known(names: Sequence[str], every: Sequence[str], what: str) -> None:
    known = frozenset().union(*map(category_key, every))
    wrong = [name for name in names if not category_key(name) & known]
    if wrong:
        raise ValueError(f"{what} names {wrong[:5]} that are not in the vocabulary {every[:5]}...")


def _named(label_map: Mapping[int, str | int], every: Sequence[str]) -> dict[int, str]:
    """Raw value -> name, from a map to names or indices."""
    _check_known([v for v in label_map.values() if isinstance(v, str)], every, "label_map")
    named = {}
    for raw, value in label_map.items():
        if isinstance(value, str):
            named[int(raw)] = next(n for n in every if category_key(n) & category_key(value))
        elif 0 <= value < len(every):
            named[int(raw)] = every[value]
        else:
            raise ValueError(
                f"label_map sends {raw} to {value}, outside the {len(every)} categories"
            )
    return named


def _find_pairs(
    images: Path, masks: Path | None, mask_suffix: str
) -> list[tuple[Path, Path | None]]:
    for folder in (images, masks):
        if folder is not None and not folder.is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
    found = sorted(p for p in images.rglob("*") if p.suffix.lower() in _PICTURES)
    if not found:
        raise FileNotFoundError(f"no pictures ({', '.join(_PICTURES)}) in {images}")
    if masks is None:
        return [(path, None) for path in found]
    pairs = [
        (path, masks / path.relative_to(images).with_name(path.stem + mask_suffix))
        for path in found
    ]
    missing = [mask for _, mask in pairs if not mask.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pairs)} pictures in {images} lack their label map; the first "
            f"is {missing[0]}"
        )
    return list(pairs)
