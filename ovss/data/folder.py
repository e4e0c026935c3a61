"""Reader of your own data: a folder of images, a folder of label maps and a class file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovss.io.images import IMAGE_SUFFIXES

from .class_colors import Color
from .class_facts import ClassFacts
from .class_file import find_registered, read_class_file
from .files import MASK_SUFFIXES, read_labels
from .folder_facts import all_facts, has_color_masks, ignored_values, with_palette
from .folder_files import compare_sizes, find_suffix
from .folder_layout import IMAGE_FOLDERS, MASK_FOLDERS, find_class_file, find_folder, sibling_facts
from .pairs import files_below, find_pairs, index_images
from .splits import LayoutError, choose_split, find_splits, mask_folder_of

if TYPE_CHECKING:
    from .image_mask import ImageMaskDataset

MAX_CHECKED = 16  # label maps whose values are checked before anything runs


@dataclass(frozen=True)
class FolderDescription:
    """Description of a dataset folder, from which a dataset can be built.

    Args:
        folder: folder of the dataset.
        images: folder of the split's images.
        masks: folder of the split's label maps.
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
        mask_suffix: suffix that replaces an image's file type in the name of its label map.
        subset: images of the split, if a list defines it.
        class_file: path of the class file.
        count: number of images.
        unpaired: number of label maps without an image; 0 if a list defines the split.
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

    def __str__(self) -> str:
        unseen = 0 if self.seen is None else len(self.names) - len(self.seen)
        facts = [
            f"{self.count} images in {self.images}",
            f"label maps *{self.mask_suffix} in {self.masks}",
            f"{len(self.names)} classes in {self.class_file}" + f", {unseen} unseen" * (unseen > 0),
        ]
        if self.unpaired:
            facts.insert(2, f"{self.unpaired} label maps without an image are left out")
        if self.words is not None:
            count = sum(len(self.words.get(name, (name,))) for name in self.names)
            facts.append(f"{count} names to segment")
        ignored = self.ignored_colors if self.color_masks else self.ignored
        facts.append(f"not labelled: {', '.join(map(str, ignored)) or 'no value'}")
        return "; ".join(facts)

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


def describe_folder(
    folder: str | Path,
    split: str | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    classes: str | Path | None = None,
    mask_suffix: str | None = None,
) -> FolderDescription:
    """Describes the dataset in a folder; docs/your_data.md shows the accepted layouts.

    Every image is paired with its label map and all sizes are compared. The values of some label
    maps, spread over the dataset, are checked.

    Args:
        folder: folder of the dataset.
        split: name of a split such as ``val``; ``all`` for everything.
        images: folder of the images, as a path or below `folder`; None: search by name.
        masks: folder of the label maps, as a path or below `folder`; None: search by name.
        classes: class file, as a path or below `folder`; None: search by name.
        mask_suffix: suffix of label maps such as ``"_labels.png"``; None: detect it.

    Raises:
        FileNotFoundError: a folder, a file, images or label maps are missing.
        LayoutError: the folder can be read in several ways or in none; the message names the
            argument that decides.
        ValueError: a wrong class file, image size or label value.
        ImageError: a label map cannot be read, or has 8 bits where 16 are needed.
    """
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(f"Expected a dataset folder, found {found} at {root}")
    if root.resolve().name.endswith(".partial"):
        raise LayoutError(
            f"{root} is incomplete. Run the command that prepares it again to continue"
        )
    image_root = find_folder(root, images, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")
    mask_root = find_folder(root, masks, MASK_FOLDERS, MASK_SUFFIXES, "masks")
    class_file = read_class_file(find_class_file(root, classes))
    records = sibling_facts(root, class_file.path)
    facts = all_facts(class_file, records)
    json_files = [(class_file.path, class_file.record), *records]
    chosen = choose_split(find_splits(root, image_root, json_files), split, root)
    image_folder = image_root / chosen.folder if chosen else image_root
    mask_folder = mask_folder_of(mask_root, chosen)
    subset, where = (chosen.subset, chosen.where) if chosen else (None, "")
    suffix = mask_suffix or facts.mask_suffix
    if not suffix:
        suffix = find_suffix(index_images(image_folder, subset, where), image_folder, mask_folder)
    pairs = find_pairs(image_folder, mask_folder, suffix, subset, where)
    modes = compare_sizes([(image, mask) for image, mask in pairs if mask is not None])
    facts = with_palette(facts, root, pairs[0][1] if modes["P"] else None, class_file.raw)
    color_masks = has_color_masks(modes, facts, class_file.path)
    description = FolderDescription(
        folder=root,
        images=image_folder,
        masks=mask_folder,
        split=chosen.name if chosen else None,
        names=class_file.names,
        seen=facts.seen,
        words=facts.words,
        palette=facts.colors,
        color_masks=color_masks,
        label_map=None if color_masks else class_file.label_map,
        ignored=() if color_masks else ignored_values(facts, modes, class_file.raw),
        ignored_colors=facts.ignored_colors or (),
        mask_suffix=suffix,
        subset=subset,
        class_file=class_file.path,
        count=len(pairs),
        unpaired=0
        if subset
        else sum(f.name.endswith(suffix) for f in files_below(mask_folder)) - len(pairs),
    )
    check_labels(description, [mask for _, mask in pairs if mask is not None], facts)
    return description


def check_labels(description: FolderDescription, masks: Sequence[Path], facts: ClassFacts) -> None:
    """Reads up to `MAX_CHECKED` label maps, spread over the dataset, as the dataset will.

    Args:
        description: description of the dataset.
        masks: paths of all label maps.
        facts: facts of the class file.

    Raises:
        ImageError, ValueError: as `ImageMaskDataset.labels`.
        LayoutError: label maps of two classes hold 0 and 255, and no file states whether 255 is the
            second class or means "not labelled".
    """
    dataset = description.build()
    values: set[int] = set()
    count = min(MAX_CHECKED, len(masks))
    for index in np.unique(np.linspace(0, len(masks) - 1, count).astype(int)):
        dataset.labels(masks[index])
        if not description.color_masks:
            values.update(np.unique(read_labels(masks[index])).tolist())
    is_unstated = facts.ignored is None and description.label_map is None
    if is_unstated and len(description.names) == 2 and values == {0, 255}:
        first, second = description.names
        raise LayoutError(
            f"The label maps in {description.masks} hold 0 and 255, which has two meanings. If 255 "
            f'is {second!r}, write the class file as {{"0": "{first}", "255": "{second}"}}; if it '
            f'means "not labelled", as {{"classes": ["{first}", "{second}"], "ignored": [255]}}'
        )
