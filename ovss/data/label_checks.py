"""Checks of the labels of a dataset folder, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ovss.selection import IGNORE

from .class_facts import IGNORED_KEYS, REDUCE_KEYS, ClassFacts
from .class_json import read_json, without_metainfo
from .files import read_labels
from .folder_description import FolderDescription
from .folder_files import image_header
from .image_mask import ImageMaskDataset
from .label_formats import LABEL_MAPS
from .label_formats.shapes import is_background
from .labels import LabelValueError
from .part import spread
from .splits import LayoutError

MAX_CHECKED = 16  # images whose labels are checked before anything runs
_FEW = 30  # classes; of a longer list most are absent from 16 images
_MANY = 20  # unknown values of one label map, from which on it is not a map of indices


def check_labels(description: FolderDescription, facts: ClassFacts) -> tuple[str, ...]:
    """Reads the labels of up to `MAX_CHECKED` images, spread over the dataset.

    Args:
        description: description of the dataset.
        facts: facts about the classes.

    Returns:
        Warnings for users.

    Raises:
        ImageError, ValueError: as `ImageMaskDataset.labels_of`; the message says how to state
            further values or names in the folder.
        LayoutError: the label values fit the class file only by accident: 0 and 255 of binary
            masks, or values that begin with 1.
    """
    dataset = description.build()
    positions = spread(len(dataset), MAX_CHECKED)
    if description.label_format == LABEL_MAPS and not description.color_masks:
        values = _raw_values(dataset, positions)
        _check_binary(description, facts, values)
        _check_offset(description, facts, values)
    classes: set[int] = set()
    for position in positions:
        try:
            labels = dataset.labels_of(position)
            classes.update(np.unique(labels).tolist())
        except LabelValueError as error:
            raise _with_folder_advice(error, description) from None
        image, file = dataset.pairs[position]
        size = image_header(image)[0][::-1]
        if labels.shape != size:
            raise ValueError(
                f"{file} describes an image of (height, width) {labels.shape}, but {image} has "
                f"{size}. Export the labels for the images at this size"
            )
    return _warnings(description, classes, len(positions))


def _raw_values(dataset: ImageMaskDataset, positions: Sequence[int]) -> set[int]:
    values: set[int] = set()
    for position in positions:
        _, mask = dataset.pairs[position]
        if mask is not None:
            values.update(np.unique(read_labels(mask, dataset.large)).tolist())
    return values


def _check_binary(description: FolderDescription, facts: ClassFacts, values: set[int]) -> None:
    """Raises an error for 0 and 255, or 0 and 1 of one class, if no file states their meaning."""
    if facts.ignored is not None or description.label_map is not None:
        return
    names = description.names
    high = 1 if values == {0, 1} and len(names) == 1 else 255
    if values != {0, high} or len(names) > 255:
        return
    place = _place_of(description, IGNORED_KEYS)
    masks = f"The label maps in {description.masks} hold only 0 and {high}"
    if len(names) == 1:
        name = names[0]
        if is_background(name):
            raise LayoutError(
                f"{masks}, but {description.class_file} has the one class {name!r}. Write a class "
                f"file classes.json in its place: {_text({'0': name, str(high): 'object'})} with "
                f"the name of the object"
            )
        raise LayoutError(
            f"{masks}, which can mean three things for the one class {name!r}. Replace "
            f"{description.class_file} by a file classes.json with one of these: if {high} is "
            f"{name!r} and 0 the rest, {_text({'0': 'background', str(high): name})}; if {high} is "
            f"{name!r} and 0 is not labelled, "
            f"{_text({'classes': {str(high): name}, 'ignored': [0]})}; if 0 is {name!r} and {high} "
            f"is not labelled, {_text({'classes': [name], 'ignored': [high]})}"
        )
    if len(names) == 2:
        first, second = names
        raise LayoutError(
            f"{masks}, which has two meanings. Replace {description.class_file} by a file "
            f"classes.json: if 255 is {second!r}, write {_text({'0': first, '255': second})}; if "
            f'it means "not labelled", write '
            f"{_text({'classes': [first, second], 'ignored': [255]})}"
        )
    raise LayoutError(
        f"{masks}, as masks of one object do, but {description.class_file} has {len(names)} "
        f"classes. If 255 is one of them, replace the file by classes.json with two classes such "
        f"as {_text({'0': 'background', '255': names[-1]})}; if all pixels but the unlabelled ones "
        f"are {names[0]!r}, write {_text({'ignored': [255]})} into {place}"
    )


def _check_offset(description: FolderDescription, facts: ClassFacts, values: set[int]) -> None:
    """Raises an error for values up to T, because they may begin with 1 for the first class."""
    count = len(description.names)
    known = values - set(description.ignored)
    if description.label_map is not None or not known or max(known) != count:
        return
    kept = sorted(set(description.ignored) & values)
    place = _place_of(description, REDUCE_KEYS), _place_of(description, IGNORED_KEYS)
    has_zero = "0 to" if 0 in known else "1 to"
    raise LayoutError(
        f"The label maps in {description.masks} hold values from {has_zero} {count}, but "
        f"{description.class_file} has {count} classes, which have the values 0 to {count - 1}. "
        f'If the first class has value 1 and 0 means "not labelled", write '
        f"{_text({'reduce_zero_label': True})} into {place[0]}; if {count} means 'not labelled', "
        f"write {_text({'ignored': [count, *kept]})} into {place[1]}; if 0 is a further class such "
        f"as background, add it as the first class to {description.class_file}"
    )


def _with_folder_advice(error: LabelValueError, description: FolderDescription) -> ValueError:
    """Returns the error with advice in terms of the folder's files."""
    values = [value for value in error.values if isinstance(value, str) or value <= 65535]
    if len(error.values) > _MANY:
        advice = (
            "So many values mean that the files are images or were resized with interpolation. "
            "Export label maps of class indices, resized by nearest neighbour if at all"
        )
    else:
        ignored = description.ignored_names or description.ignored
        text = _text({"ignored": [*ignored, *values]})
        advice = (
            f"Add them to {description.class_file} if they are classes; if they mean 'not "
            f"labelled' (`ignored`), write {text} into {_place_of(description, IGNORED_KEYS)}"
        )
    return ValueError(f"{error.problem}. {advice}")


def _warnings(description: FolderDescription, found: set[int], count: int) -> tuple[str, ...]:
    """Warnings about classes that do not occur in the labels that were checked."""
    classes, total = found - {IGNORE}, len(description.names)
    where = f"the labels of {count} images that were checked" if count > 1 else "the labels"
    if not classes:
        return (f"no pixel of {where} is labelled, so metrics may be undefined",)
    if len(classes) == 1:
        name = description.names[next(iter(classes))]
        reason = (
            "so every model scores 100" if total == 1 else "so check the values of the class file"
        )
        return (f"every labelled pixel of {where} is {name!r}, {reason}",)
    if len(classes) == 2 < total or (count > 1 and 2 * len(classes) < total <= _FEW):
        listed = ", ".join(repr(description.names[i]) for i in sorted(classes)[:5])
        more = " ..." if len(classes) > 5 else ""
        return (f"only {len(classes)} of {total} classes occur in {where}: {listed}{more}",)
    return ()


def _place_of(description: FolderDescription, keys: Sequence[str]) -> Path:
    """JSON file of the folder that states one of the keys, or else one that can be written."""
    root = description.folder
    for path in (description.class_file, *sorted(root.glob("*.json"))):
        if path.suffix.lower() == ".json":
            try:
                content = without_metainfo(read_json(path))
            except ValueError:
                continue
            if isinstance(content, dict) and any(content.get(key) is not None for key in keys):
                return path
    names = ("dataset.json", "dataset_facts.json", "ovss_dataset.json")
    return next((root / name for name in names if not (root / name).exists()), root / names[-1])


def _text(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)
