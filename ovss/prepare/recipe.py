"""Recipe of a dataset: its files, labels and terms, and the functions that convert them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConvertedLabels", "Item", "LabelError", "Labels", "Recipe", "SourceError", "SplitFiles"]

Labels = NDArray[np.integer]


class SourceError(ValueError):
    """An unsuitable source; the message says what is wrong or missing and where to get it."""


class LabelError(ValueError):
    """A source file that cannot be converted; the message names it and says how to fix it."""


@dataclass(frozen=True)
class Item:
    """One image with its labels in the source.

    Args:
        split: ``"train"`` or ``"val"``.
        key: name of both output files, without folder and suffix.
        image: official image file.
        label: official file with its labels. All items share it if the labels are one JSON file.
        payload: further input of the recipe's conversion; picklable.
    """

    split: str
    key: str
    image: Path
    label: Path
    payload: Any = None

    @property
    def name(self) -> str:
        """Split and key, which identify the item."""
        return f"{self.split}/{self.key}"


@dataclass
class SplitFiles:
    """Files of one split in a source.

    Args:
        items: images that have labels.
        images: number of image files.
        masks: number of label files.
        unpaired: descriptions of files without a partner.
        notes: remarks for the user, also written to ``dataset.json``.
    """

    items: list[Item] = field(default_factory=list)
    images: int = 0
    masks: int = 0
    unpaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ConvertedLabels:
    """Result of converting one item.

    Args:
        labels: label map, (H, W) uint8 or uint16.
        image: resized image, (H, W, 3) uint8, or None if the official file is used unchanged.
    """

    labels: Labels
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Recipe:
    """Recipe to prepare one dataset.

    Args:
        name: name on the command line.
        title: title shown to users.
        vocabulary: name of the registered vocabulary that a model receives.
        num_classes: number of classes T. Stored here so that worker processes need not import the
            vocabularies, and with them torch.
        splits: number of images in each official split, or None if unknown.
        default_splits: splits that are prepared by default.
        ignored: label values that mean "unlabelled"; the first one is written.
        find: function (recipe, source, split) -> `SplitFiles`. Raises SourceError if folders are
            missing.
        convert: function `Item` -> `ConvertedLabels`. Raises LabelError.
        layout: required files of the source, one line each.
        homepage: origin of the files, one line each.
        licence: terms to read before use.
        bits: bits of a label value, 8 or 16.
        drop_unlabelled: skips images without any labelled pixel.
        first_classes: name of the registered vocabulary with the class names, if they are not
            those of `vocabulary`.
        last_classes: class names that follow those.
        word_class: class index of each name of the vocabulary, if the two differ.
    """

    name: str
    title: str
    vocabulary: str
    num_classes: int
    splits: Mapping[str, int | None]
    default_splits: tuple[str, ...]
    ignored: tuple[int, ...]
    find: Callable[[Recipe, Path, str], SplitFiles]
    convert: Callable[[Item], ConvertedLabels]
    layout: tuple[str, ...]
    homepage: tuple[str, ...]
    licence: str
    bits: int = 8
    drop_unlabelled: bool = False
    first_classes: str | None = None
    last_classes: tuple[str, ...] = ()
    word_class: tuple[int, ...] | None = None

    @property
    def mask_suffix(self) -> str:
        """Suffix of the label maps."""
        return ".png" if self.bits == 8 else ".tif"

    def names(self) -> tuple[str, ...]:
        """Names of the T classes that label values index."""
        from ovss.vocabularies import load_names

        return (*load_names(self.first_classes or self.vocabulary), *self.last_classes)

    def missing(self, source: Path, expected: Sequence[str]) -> SourceError:
        """Error for a source that lacks files, with the download location and the licence.

        Args:
            source: source folder.
            expected: relative paths, at least one of which is required.
        """
        problem = f"has no {' or '.join(expected)}" if source.is_dir() else "is not a folder"
        return SourceError(
            f"{source} {problem}. {self.name} needs {'; '.join(self.layout)}. "
            f"Get it from {'; '.join(self.homepage)}. Licence: {self.licence}"
        )
