"""Description of a dataset folder, from which a dataset can be built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .class_colors import Color
from .class_file import find_registered
from .label_formats import LABEL_MAPS, label_source
from .label_formats.shapes import is_background

if TYPE_CHECKING:
    from .image_mask import ImageMaskDataset


@dataclass(frozen=True)
class FolderDescription:
    """Description of a dataset folder, from which a dataset can be built.

    Args:
        folder: folder of the dataset.
        images: folder of the split's images.
        masks: folder of the split's label files, or the one file with all labels.
        split: name of the split; None: the whole dataset.
        names: T class names.
        seen: class names that training showed; None: not stated.
        words: map from class names to the names that a model segments in their place; None: the
            class names.
        palette: T RGB triples; None: not stated.
        color_masks: True if label maps are RGB images in the colours of `palette`.
        label_map: map from raw values to class indices; None: they are equal.
        ignored: raw values that mean "not labelled".
        ignored_colors: RGB triples that mean "not labelled".
        mask_suffix: suffix that replaces an image's file type in the name of its label file.
        subset: images of the split, if a list defines it.
        class_file: path of the class file.
        count: number of images.
        unpaired: number of label maps without an image, or of images that an annotation file
            lacks; 0 if a list defines the split.
        label_format: one of `list_label_formats`.
        image_suffix: end of the names of images that label files lack.
        ignored_names: names in annotation files that mean "not labelled".
        large: True if images and label maps may have any size.
        notes: warnings about the labels, for users.
    """

    folder: Path
    images: Path
    masks: Path
    split: str | None
    names: tuple[str, ...]
    seen: tuple[str, ...] | None
    words: dict[str, tuple[str, ...]] | None
    palette: tuple[Color, ...] | None
    color_masks: bool
    label_map: dict[int, int] | None
    ignored: tuple[int, ...]
    ignored_colors: tuple[Color, ...]
    mask_suffix: str
    subset: tuple[str, ...] | None
    class_file: Path
    count: int
    unpaired: int
    label_format: str = LABEL_MAPS
    image_suffix: str = ""
    ignored_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    large: bool = False

    def __str__(self) -> str:
        unseen = 0 if self.seen is None else len(self.names) - len(self.seen)
        facts = [
            f"{self.count} images in {self.images}",
            self._labels(),
            f"{len(self.names)} classes in {self.class_file}" + f", {unseen} unseen" * (unseen > 0),
        ]
        if self.unpaired:
            extra = "images without labels" if self.label_format == "coco" else "label maps without"
            extra += "" if self.label_format == "coco" else " an image"
            facts.insert(2, f"{self.unpaired} {extra} are left out")
        if self.words is not None:
            count = sum(len(self.words.get(name, (name,))) for name in self.names)
            facts.append(f"{count} names to segment")
        facts.append(f"not labelled: {self._unlabeled()}")
        return "\n".join(["; ".join(facts), *(f"warning: {note}" for note in self.notes)])

    def _labels(self) -> str:
        if self.label_format == LABEL_MAPS:
            return f"label maps *{self.mask_suffix} in {self.masks}"
        overlap = label_source(self.label_format).overlap
        return f"{self.label_format} shapes in {self.masks}, painted {overlap}"

    def _unlabeled(self) -> str:
        ignored: tuple = self.ignored_colors if self.color_masks else self.ignored
        if self.label_format == LABEL_MAPS:
            return ", ".join(map(str, ignored)) or "no value"
        background = next((name for name in self.names if is_background(name)), None)
        rest = f"no pixel, because {background!r} is a class" if background else "other pixels"
        return ", ".join((rest, *self.ignored_names))

    def build(self, pipeline: Sequence[dict] = ()) -> ImageMaskDataset:
        """Builds the dataset.

        Args:
            pipeline: transforms of the dataset.
        """
        from .image_mask import ImageMaskDataset

        return ImageMaskDataset(**{k: v for k, v in self.config(pipeline).items() if k != "type"})

    def config(self, pipeline: Sequence[dict]) -> dict[str, Any]:
        """Returns the config of the dataset.

        Args:
            pipeline: transforms of the dataset.
        """
        optional: dict[str, Any] = {
            "seen": self.seen and list(self.seen),
            "words": self.words and {name: list(words) for name, words in self.words.items()},
            "label_map": self.label_map,
            "subset": self.subset and list(self.subset),
            "colors": self.palette and [list(color) for color in self.palette],
            "color_masks": self.color_masks or None,
            "ignored_colors": [list(color) for color in self.ignored_colors] or None,
            "label_format": None if self.label_format == LABEL_MAPS else self.label_format,
            "image_suffix": self.image_suffix or None,
            "ignored_names": list(self.ignored_names) or None,
            "large": self.large or None,
        }
        return {
            "type": "ImageMaskDataset",
            "images": str(self.images),
            "masks": str(self.masks),
            "vocabulary": find_registered(self.names) or list(self.names),
            "ignored": list(self.ignored),
            "mask_suffix": self.mask_suffix,
            **{key: value for key, value in optional.items() if value is not None},
            "pipeline": list(pipeline),
        }
