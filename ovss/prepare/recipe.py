"""What a data set says about itself, and what the engine asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Converted", "Found", "Item", "LabelError", "Labels", "Recipe", "SourceError"]

Labels = NDArray[np.integer]


class SourceError(ValueError):
    """The source is not what it should be; the message says what is missing and where to get it."""


class LabelError(ValueError):
    """A file of the source that cannot be converted; the message names it and the mend."""


@dataclass(frozen=True)
class Item:
    """One picture with its labels.

    Args:
        split: ``"train"`` or ``"val"``.
        key: the name of both files that will be written, without folder and file type.
        image: the official picture.
        label: the official file that holds its labels (one for all where it is a single json).
        payload: what else the recipe needs to make the labels; picklable.
    """

    split: str
    key: str
    image: Path
    label: Path
    payload: Any = None

    @property
    def name(self) -> str:
        return f"{self.split}/{self.key}"


@dataclass
class Found:
    """What a source has of one split: pairs, and files that are no pair, each said in words."""

    items: list[Item] = field(default_factory=list)
    images: int = 0
    masks: int = 0
    unpaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Converted:
    """Labels of one picture, (H, W) uint8 or uint16; the picture itself, (H, W, 3), if changed."""

    labels: Labels
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Recipe:
    """How one data set is made.

    Args:
        name: as the command line has it.
        title: for people.
        vocabulary: registered name of the words that a model is asked.
        num_classes: T, said here so that worker processes need not load names (and torch).
        splits: split -> how many pictures the official set has; None where nobody has counted.
        default_splits: what is made when none is named.
        ignored: label values that mean "not labelled"; the first is the one that is written.
        find: (recipe, source, split) -> `Found`; raises SourceError where folders are missing.
        convert: `Item` -> `Converted`; raises LabelError.
        layout: the files that the source must have, as lines for people.
        homepage: where they are from, as lines for people.
        licence: words to read before use.
        bits: of a label value, 8 or 16.
        drop_unlabelled: leave out pictures in which nothing is labelled.
        first_classes: registered name of the classes, where they are not the vocabulary's.
        last_classes: names after those.
        word_class: as which class each word counts, where words and classes differ.
    """

    name: str
    title: str
    vocabulary: str
    num_classes: int
    splits: Mapping[str, int | None]
    default_splits: tuple[str, ...]
    ignored: tuple[int, ...]
    find: Callable[[Recipe, Path, str], Found]
    convert: Callable[[Item], Converted]
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
        return ".png" if self.bits == 8 else ".tif"

    def names(self) -> tuple[str, ...]:
        """The T classes that labels index."""
        from ovss.vocabularies import load_names

        return (*load_names(self.first_classes or self.vocabulary), *self.last_classes)

    def missing(self, source: Path, tried: Sequence[str]) -> SourceError:
        """The error for a source that lacks a folder or file: what, where to get it, and terms."""
        wrong = f"has no {' or '.join(tried)}" if source.is_dir() else "is no folder"
        return SourceError(
            f"{source} {wrong}. {self.name} needs {'; '.join(self.layout)}. "
            f"Get it from {'; '.join(self.homepage)}. Licence: {self.licence}"
        )
