"""Your own data: a folder of pictures, a folder of label maps, a class file."""

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
from .folder_facts import all_facts, are_colors, ignored_values, with_palette
from .folder_files import compare_sizes, find_suffix
from .folder_layout import IMAGE_FOLDERS, MASK_FOLDERS, find_class_file, find_folder, sibling_facts
from .pairs import files_below, find_pairs, find_pictures
from .splits import LayoutError, choose_split, find_splits, mask_folder_of

if TYPE_CHECKING:
    from .image_mask import ImageMaskDataset

CHECKED = 16  # label maps whose values are looked at before anything runs


@dataclass(frozen=True)
class FolderDescription:
    """What a folder holds, ready to be a data set.

    Args:
        folder: the data set. images, masks: its pictures and label maps, of the split.
        split: its name; None: all there is.
        names: T classes.
        seen: those that training showed; None: nothing is said.
        words: class -> what a model is asked for it; None: the names.
        palette: T RGB triples; None: nothing is said.
        color_masks: whether label maps are RGB pictures in the colours of `palette`.
        label_map: raw value -> class; None: they are the same.
        ignored: raw values that mean "not labelled". ignored_colors: RGB triples that do.
        mask_suffix: how the name of a label map ends where the picture's ends in its file type.
        subset: the pictures of the split where a list tells them.
        class_file: where the classes are written.
        count: how many pictures.
        unpaired: how many label maps have no picture, where all of a folder is taken.
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
            f"{self.count} pictures in {self.images}",
            f"label maps *{self.mask_suffix} in {self.masks}",
            f"{len(self.names)} classes of {self.class_file}" + f", {unseen} unseen" * (unseen > 0),
        ]
        if self.unpaired:
            facts.insert(2, f"{self.unpaired} more label maps have no picture and are left out")
        if self.words is not None:
            facts.append(f"asked by {sum(len(self.words.get(n, (n,))) for n in self.names)} words")
        none = self.ignored_colors if self.color_masks else self.ignored
        facts.append(f"not labelled: {', '.join(map(str, none)) or 'no value'}")
        return "; ".join(facts)

    def build(self, pipeline: Sequence[dict] = ()) -> ImageMaskDataset:
        """The data set.

        Args:
            pipeline: its transforms.
        """
        from .image_mask import ImageMaskDataset

        return ImageMaskDataset(**{k: v for k, v in self.config(pipeline).items() if k != "type"})

    def config(self, pipeline: Sequence[dict]) -> dict[str, Any]:
        """The data set as a config has it.

        Args:
            pipeline: its transforms.
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
    """Look at a folder, and say what data set it is; docs/your_data.md shows what is understood.

    Every picture is paired with its label map and the sizes of all are compared; of label maps
    spread over the set the values are checked.

    Args:
        folder: the data set.
        split: ``val`` and the like; ``all`` for everything.
        images, masks, classes: where to look, as a path or below `folder`; None: found by name.
        mask_suffix: ``"_labels.png"`` where label maps end so; None: found by looking.

    Raises:
        FileNotFoundError: a folder, a file, pictures or label maps are missing.
        LayoutError: it can be read in several ways, or in none; names the flag that decides.
        ValueError: a class file, a size or a label value that is wrong.
        ImageError: a label map that cannot be read, or has 8 bits where 16 are needed.
    """
    root = Path(folder)
    if not root.is_dir():
        kind = "a file, not a folder" if root.exists() else "no such folder"
        raise FileNotFoundError(f"{root}: {kind}; give the folder of the data set")
    if root.resolve().name.endswith(".partial"):
        raise LayoutError(f"{root} is half made: run the command that makes it again to go on")
    picture_root = find_folder(root, images, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")
    mask_root = find_folder(root, masks, MASK_FOLDERS, MASK_SUFFIXES, "masks")
    class_file = read_class_file(find_class_file(root, classes))
    records = sibling_facts(root, class_file.path)
    facts = all_facts(class_file, records)
    told = [(class_file.path, class_file.around), *records]
    part = choose_split(find_splits(root, picture_root, told), split, root)
    pictures = picture_root / part.folder if part else picture_root
    labels = mask_folder_of(mask_root, part)
    subset, where = (part.subset, part.where) if part else (None, "")
    suffix = mask_suffix or facts.mask_suffix
    if not suffix:
        suffix = find_suffix(find_pictures(pictures, subset, where), pictures, labels)
    pairs = find_pairs(pictures, labels, suffix, subset, where)
    modes = compare_sizes([(image, mask) for image, mask in pairs if mask is not None])
    facts = with_palette(facts, root, pairs[0][1] if modes["P"] else None, class_file.raw)
    color_masks = are_colors(modes, facts, class_file.path)
    described = FolderDescription(
        folder=root,
        images=pictures,
        masks=labels,
        split=part.name if part else None,
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
        else sum(f.name.endswith(suffix) for f in files_below(labels)) - len(pairs),
    )
    check_labels(described, [mask for _, mask in pairs if mask is not None], facts)
    return described


def check_labels(described: FolderDescription, masks: Sequence[Path], facts: ClassFacts) -> None:
    """Read some label maps, spread over the set, as the data set will.

    Raises:
        ImageError, ValueError: as `ImageMaskDataset.labels`. LayoutError: masks of two classes that
            hold 0 and 255, where nothing says whether 255 is the second class or no label.
    """
    dataset = described.build()
    values: set[int] = set()
    for place in np.unique(np.linspace(0, len(masks) - 1, min(CHECKED, len(masks))).astype(int)):
        dataset.labels(masks[place])
        if not described.color_masks:
            values.update(np.unique(read_labels(masks[place])).tolist())
    unsaid = facts.ignored is None and described.label_map is None
    if unsaid and len(described.names) == 2 and values == {0, 255}:
        first, second = described.names
        raise LayoutError(
            f"the label maps in {described.masks} hold 0 and 255 and no 1. If 255 is {second!r}, "
            f'make the class file JSON: {{"0": "{first}", "255": "{second}"}}; if it means '
            f'"not labelled": {{"classes": ["{first}", "{second}"], "ignored": [255]}}'
        )
