"""Dataset of your own images and their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from ovss.io.images import ImageError, read_image
from ovss.selection import IGNORE
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import seen_mask

from .base import LabeledImage, SegmentationDataset
from .class_file import check_vocabulary_values
from .files import read_label_colors, read_labels, read_list
from .label_formats import LABEL_MAPS, label_source
from .label_formats.shapes import ShapePainter
from .labels import ColorMapper, LabelMapper, class_index
from .pairs import find_pairs, listed_pairs
from .part import limited
from .words import Words, words_of_classes


@DATASETS.register_module()
class ImageMaskDataset(SegmentationDataset):
    """Folder of images, and label maps with matching file names or annotation files.

    Args:
        images: folder of the images; subfolders are searched too.
        masks: folder of the label files, with the same subfolders, or the one annotation file of
            COCO; None without labels (prediction).
        vocabulary: T class names as a list, a text file with one per line, or a registered name.
        pipeline: see `SegmentationDataset`.
        seen: names that training may show (list, file or registered name); None: all.
        only_seen: True restricts the vocabulary to the seen names and ignores all other pixels.
            Training needs this because a model would learn that a category without pixels never
            occurs.
        label_map: map from raw values to class names or to indices in `vocabulary`; None: raw
            values are indices.
        ignored: raw values that mean "not labelled"; they become IGNORE.
        mask_suffix: suffix that replaces an image's file type in the name of its label map.
        seed: see `SegmentationDataset`.
        subset: images to use, in the forms of `find_pairs`, as a list or as a text file with one
            per line; None: all.
        words: names to segment if they differ from the class names, see `words_of_classes`.
        colors: T RGB triples, which categories are drawn in. With `color_masks` they also identify
            the categories in the label maps.
        color_masks: True if label maps are RGB images in these colours instead of indices.
        ignored_colors: RGB triples that mean "not labelled" in such label maps.
        label_format: one of `ovss.data.label_formats.list_label_formats`. In other formats than
            ``label_maps`` shapes name their classes. Pixels without a shape belong to the class
            ``background`` if there is one, and are IGNORE otherwise.
        ignored_names: names of shapes that mean "not labelled".
        image_suffix: end of the names of images that label files lack, such as ``_leftImg8bit``.
        limit: largest number of images, spread evenly over all; None: all. A result states it.
        large: True to read images and label maps above the limit of 100 megapixels, which
            guards against files that unpack to more than the memory holds.

    Raises:
        FileNotFoundError: a folder is missing or empty, or an image has no label map.
        ValueError: the label format is unknown, `limit` is not positive, a name in `seen`,
            `label_map` or `words` is not in the vocabulary, two images have the same name, or the
            number of colours is wrong.
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
        label_format: str = LABEL_MAPS,
        ignored_names: Sequence[str] = (),
        image_suffix: str = "",
        limit: int | None = None,
        large: bool = False,
    ) -> None:
        self.large = large
        every = load_names(vocabulary)
        if label_map is None and label_format == LABEL_MAPS and not color_masks:
            check_vocabulary_values(vocabulary)
        seen_names = every if seen is None else load_names(seen) if len(seen) else ()
        if only_seen and not seen_names:
            raise ValueError(
                "`only_seen` needs at least one seen name because training uses no others. List "
                "names in `seen`"
            )
        wrong = [name for name, ok in zip(seen_names, seen_mask(seen_names, every)) if not ok]
        if wrong:
            raise ValueError(
                f"Seen names must be in the vocabulary {every[:5]}..., got {wrong[:5]}"
            )
        is_seen = seen_mask(every, seen_names)
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
        self.label_mapper = LabelMapper(len(kept), mapping, ignored)
        if color_masks:
            by_color = {_triple(c): mapping[i] for i, c in enumerate(colors or ())}
            by_color.update((_triple(color), IGNORE) for color in ignored_colors)
            self.color_mapper = ColorMapper(by_color)
        self.source = None
        if label_format != LABEL_MAPS:
            self.source = label_source(label_format)
            owners_T = [new_index.get(name, IGNORE) for name in every]
            self.painter = ShapePainter(every, ignored_names, owners_T, self.source.unlabeled)
        if isinstance(subset, str):
            where, subset = subset, read_list(Path(subset))
        else:
            where = "subset"
        folder, labels = Path(images), None if masks is None else Path(masks)
        pairs: Sequence[tuple[Path, Path | None]]
        if label_format == "coco" and labels is not None:
            pairs = listed_pairs(folder, labels, subset, where)
        else:
            pairs = find_pairs(folder, labels, mask_suffix, subset, where, image_suffix)
        self.pairs, self.part = limited(pairs, limit)

    def __len__(self) -> int:
        return len(self.pairs)

    def path_of(self, index: int) -> str:
        return str(self.pairs[index][0])

    def load(self, index: int) -> LabeledImage:
        image_path, mask_path = self.pairs[index]
        image = read_image(image_path, large=self.large)
        if mask_path is None:
            return LabeledImage(image, None, str(image_path))
        labels = self.labels_of(index)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"Image and label map must have equal (height, width), but label map {mask_path} "
                f"has {labels.shape} and image {image_path} has {image.shape[:2]}"
            )
        return LabeledImage(image, labels, str(image_path))

    def labels_of(self, index: int) -> np.ndarray:
        """Reads the labels of image `index` as category indices or IGNORE, int32 (H, W).

        Raises:
            ImageError: the file cannot be read, or has 8 bits where label values need 16.
            ValueError: the file holds values or names outside the vocabulary.
        """
        image_path, label_path = self.pairs[index]
        if label_path is None:
            raise ValueError(f"Image {image_path} has no labels. Give `masks`")
        if self.source is None:
            return self.labels(label_path)
        shapes = self.source.shapes_of(image_path, label_path)
        return self.painter(shapes, str(label_path))

    def labels(self, mask_path: Path) -> np.ndarray:
        """Reads a label map as category indices or IGNORE, int32 (H, W).

        Args:
            mask_path: path of the label map.

        Raises:
            ImageError: the file cannot be read, or has 8 bits where label values need 16.
            ValueError: the file holds values outside the vocabulary.
        """
        if self.color_masks:
            return self.color_mapper(read_label_colors(mask_path, self.large), str(mask_path))
        raw = read_labels(mask_path, self.large)
        if self.highest_raw > 255 and raw.dtype.itemsize == 1:
            raise ImageError(
                f"{mask_path}: expected a label map with 16 bits because label values go up to "
                f"{self.highest_raw}, got 8 bits, which truncate them. Export it as PNG or TIFF "
                f"with 16 bits"
            )
        return self.label_mapper(raw, str(mask_path))


def _check_colors(
    colors: Sequence[Sequence[int]] | None,
    every: Sequence[str],
    color_masks: bool,
    label_map: Mapping | None,
) -> None:
    if color_masks and (colors is None or label_map is not None):
        raise ValueError("`color_masks` needs one of `colors` per category and no `label_map`")
    if colors is not None and len(colors) != len(every):
        raise ValueError(
            f"`colors` must have one colour per category, got {len(colors)} colours for "
            f"{len(every)} categories"
        )


def _triple(color: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = color
    return red, green, blue
