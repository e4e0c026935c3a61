"""Your own pictures and label maps, in two folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from ovss.io.images import ImageError, read_image
from ovss.selection import IGNORE
from ovss.vocabularies import load_names

from .base import LabeledImage, SegmentationDataset
from .files import read_label_colors, read_labels, read_list
from .labels import ColorMapper, LabelMapper, class_index, seen_mask
from .pairs import find_pairs
from .words import Words, words_of_classes


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
        subset: pictures to take, as `find_pairs` has them: a list, or a text file with one a line;
            None: all.
        words: what a model is asked where that is not the category names, see `words_of_classes`.
        colors: T RGB triples. The categories are drawn in them; with `color_masks` they tell them.
        color_masks: True where label maps are RGB pictures in these colours, not indices.
        ignored_colors: RGB triples that mean "not labelled" there.
        pipeline, seed: see `SegmentationDataset`.

    Raises:
        FileNotFoundError: a folder is missing or empty, or a picture lacks its label map.
        ValueError: a name in `seen`, `label_map` or `words` that is not in the vocabulary; two
            pictures of one name; colours that are not one for each category.
    """

    names_words = True

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
        subset: str | Sequence[str] | None = None,
        words: Words | None = None,
        colors: Sequence[Sequence[int]] | None = None,
        color_masks: bool = False,
        ignored_colors: Sequence[Sequence[int]] = (),
    ) -> None:
        every = load_names(vocabulary)
        shown = every if seen is None else load_names(seen) if len(seen) else ()
        if only_seen and not shown:
            raise ValueError("only_seen, and no name is seen: nothing would be left to train on")
        wrong = [name for name, known in zip(shown, seen_mask(shown, every)) if not known]
        if wrong:
            raise ValueError(
                f"seen names {wrong[:5]} that are not in the vocabulary {every[:5]}..."
            )
        is_seen = seen_mask(every, shown)
        kept = tuple(n for n, ok in zip(every, is_seen) if ok or not only_seen)
        _check_colors(colors, every, color_masks, label_map)
        super().__init__(
            kept,
            [n for n, ok in zip(every, is_seen) if ok],
            pipeline,
            seed,
            words=words_of_classes(words, kept),
            colors=colors and [c for n, c in zip(every, colors) if n in kept],
        )
        new_index = {name: i for i, name in enumerate(kept)}
        owners = {i: i for i in range(len(every))} if label_map is None else label_map
        mapping = {
            int(raw): new_index.get(every[class_index(owner, every, "label_map")], IGNORE)
            for raw, owner in owners.items()
        }
        self.color_masks, self.highest_raw = color_masks, max(mapping)
        self.border = LabelMapper(len(kept), mapping, ignored)
        if color_masks:
            by_color = {_triple(c): mapping[i] for i, c in enumerate(colors or ())}
            by_color.update((_triple(color), IGNORE) for color in ignored_colors)
            self.color_border = ColorMapper(by_color)
        if isinstance(subset, str):
            where, subset = subset, read_list(Path(subset))
        else:
            where = "subset"
        folders = Path(images), None if masks is None else Path(masks)
        self.pairs = find_pairs(*folders, mask_suffix, subset, where)

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> LabeledImage:
        image_path, mask_path = self.pairs[index]
        image = read_image(image_path)
        if mask_path is None:
            return LabeledImage(image, None, str(image_path))
        labels = self.labels(mask_path)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"label map {mask_path} has (height, width) {labels.shape}, its image {image_path} "
                f"{image.shape[:2]}; they must be the same picture at the same size"
            )
        return LabeledImage(image, labels, str(image_path))

    def labels(self, mask_path: Path) -> np.ndarray:
        """Categories or IGNORE of a label map, int32 (H, W).

        Raises:
            ImageError: it cannot be read, or has 8 bits where the categories need 16.
            ValueError: it holds something outside the vocabulary.
        """
        if self.color_masks:
            return self.color_border(read_label_colors(mask_path), str(mask_path))
        raw = read_labels(mask_path)
        if self.highest_raw > 255 and raw.dtype.itemsize == 1:
            raise ImageError(
                f"{mask_path}: a label map of 8 bits, where label values go up to "
                f"{self.highest_raw}; store it with 16 (PNG or TIFF): 8 have cut the values"
            )
        return self.border(raw, str(mask_path))


def _check_colors(
    colors: Sequence[Sequence[int]] | None,
    every: Sequence[str],
    color_masks: bool,
    label_map: Mapping | None,
) -> None:
    if color_masks and (colors is None or label_map is not None):
        raise ValueError("color_masks needs `colors`, one for each category, and no `label_map`")
    if colors is not None and len(colors) != len(every):
        raise ValueError(f"{len(colors)} colours for {len(every)} categories")


def _triple(color: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = color
    return red, green, blue
