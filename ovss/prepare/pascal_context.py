"""PASCAL-Context: 59 or 60 classes from trainval_merged.json, 459 from the .mat files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ovss.data.rle import decode_mask
from ovss.io.regular import open_regular
from ovss.io.typed import has_type, wrong_fields

from .label_files import image_size, read_label_map
from .recipe import ConvertedLabels, Item, LabelError, Recipe, SourceError, SplitFiles
from .sources import by_key, first_existing, pair_listed
from .tables import Table, load_table, load_text

_ROOTS = ("VOCdevkit/VOC2010/", "VOC2010/", "")
_CLASSES = 59
_VAL_LIST = "the official list of 5104 images"


def _images(recipe: Recipe, source: Path) -> tuple[Path, dict[str, Path]]:
    """Folder VOC2010, and its images by key."""
    folder = first_existing(source, [f"{root}JPEGImages" for root in _ROOTS])
    if folder is None:
        raise recipe.missing(source, ("VOC2010/JPEGImages",))
    return folder.parent, by_key(folder, (".jpg", ".jpeg"))


# 59 classes ------------------------------------------------------------------------------------


def _find_59(recipe: Recipe, source: Path, split: str) -> SplitFiles:
    root, images = _images(recipe, source)
    path = first_existing(root, ("trainval_merged.json", "../trainval_merged.json"))
    if path is None:
        raise recipe.missing(root, ("trainval_merged.json",))
    content = _read_merged(path, recipe.names()[-_CLASSES:])
    by_id = {row["image_id"]: row for row in content["images"] if row["phase"] == split}
    segments: dict[Any, list[tuple[int, Any]]] = {image_id: [] for image_id in by_id}
    for row in content["annos_segmentation"]:
        if row["image_id"] in segments:  # file order matters: later segments overwrite earlier ones
            segments[row["image_id"]].append((row["category_id"], row["segmentation"]))
    rows = {Path(row["file_name"]).stem: row for row in by_id.values()}
    if len(rows) != len(by_id):
        raise SourceError(
            f"{path}: two images of phase {split!r} have the same file name. Use the official "
            f"trainval_merged.json."
        )
    keys = load_text("pascal_context_val.txt")
    unknown = sorted(rows.keys() - set(keys))
    if unknown:
        raise SourceError(
            f"{path}: phase 'val' has {unknown[0]} and {len(unknown) - 1} more images that are not "
            f"in {_VAL_LIST}. Use the official trainval_merged.json."
        )
    files = pair_listed(split, keys, images, dict.fromkeys(rows, path), _VAL_LIST)
    files.items = [
        Item(
            split,
            item.key,
            item.image,
            path,
            (rows[item.key], segments[rows[item.key]["image_id"]]),
        )
        for item in files.items
    ]
    return files


def _read_merged(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Reads trainval_merged.json and checks its structure and category names."""
    try:
        with open_regular(path) as file:
            content = json.load(file)
    except (ValueError, RecursionError):
        raise SourceError(f"{path} is not valid JSON. Download it again.") from None
    content = content if isinstance(content, dict) else {}
    for key, fields in _ROWS.items():
        rows = content.get(key)
        if not isinstance(rows, list):
            raise SourceError(f"{path} has no list {key!r}. {_OFFICIAL}")
        wrong = next((n for n, row in enumerate(rows) if not _has_fields(row, fields)), None)
        if wrong is not None:
            raise SourceError(
                f"{path}: entry {wrong} of {key!r} lacks one of {', '.join(fields)}, or has one of "
                f"another type. {_OFFICIAL}"
            )
    _check_categories(path, content.get("categories") or [], names)
    return content


_OFFICIAL = "Use the official trainval_merged.json."
_ROWS: dict[str, dict[str, Any]] = {
    "images": {"file_name": str, "image_id": int | str, "phase": str, "height": int, "width": int},
    "annos_segmentation": {"image_id": int | str, "category_id": int, "segmentation": Any},
}
"""Lists of the file, and the types of the fields that are read."""


def _has_fields(row: Any, fields: Mapping[str, Any]) -> bool:
    return isinstance(row, dict) and not wrong_fields(row, fields)


def _check_categories(path: Path, categories: Any, names: Sequence[str]) -> None:
    """Checks that the 59 ids have the expected names; see `_ALIASES` for the exception."""
    pairs = load_table("pascal_context_59")["pairs"]
    if not isinstance(categories, list) or not all(isinstance(row, dict) for row in categories):
        raise SourceError(f"{path}: 'categories' is not a list of objects. {_OFFICIAL}")
    for row in categories:
        raw, name = row.get("category_id", row.get("id")), row.get("name")
        if not has_type(raw, int):
            continue
        if raw in pairs and name not in (names[pairs[raw]], *_ALIASES.get(raw, ())):
            raise SourceError(
                f"{path}: expected the name {names[pairs[raw]]!r} for category {raw}, found "
                f"{str(name)[:60]!r}, so the categories are numbered differently. {_OFFICIAL}"
            )


# Category 397 is called "table" in the list of 459 classes and "diningtable" in that of 59.
_ALIASES = {397: ("table", "diningtable")}


@cache
def _table_59() -> Table:
    pairs = load_table("pascal_context_59")["pairs"]
    rest = [raw for raw in range(460) if raw not in pairs]
    return Table(pairs, 255, rest, "Categories are 1..459. Use the official trainval_merged.json.")


@cache
def _table_60() -> Table:
    """Table of the 59 classes after background, which all other values are."""
    pairs = {raw: 1 + index for raw, index in load_table("pascal_context_59")["pairs"].items()}
    rest = dict.fromkeys((raw for raw in range(460) if raw not in pairs), 0)
    return Table({**rest, **pairs}, 255, (), "Use the official trainval_merged.json.")


def _convert_59(item: Item) -> ConvertedLabels:
    return _converted(item, _table_59())


def _convert_60(item: Item) -> ConvertedLabels:
    return _converted(item, _table_60())


def _converted(item: Item, table: Table) -> ConvertedLabels:
    """Paints the segments in file order onto a map of zeros, then maps the ids to classes."""
    row, segments = item.payload
    stated, size = (row["height"], row["width"]), image_size(item.image)
    if stated != size:  # before an array of the stated size is made
        raise LabelError(
            f"{item.label}: {item.key} has (height, width) {stated}, but {item.image} has {size}, "
            f"so they are not from the same download. Download both again."
        )
    raw_HW = np.zeros(size, np.int32)
    for category, rle in segments:
        try:
            mask_HW = decode_mask(rle)
        except (ValueError, TypeError) as error:
            raise LabelError(
                f"{item.label}: the segment of category {category} in {item.key} cannot be decoded "
                f"({error}). Download the file again."
            ) from error
        if mask_HW.shape != raw_HW.shape:
            raise LabelError(
                f"{item.label}: the segment of category {category} in {item.key} has (height, "
                f"width) {mask_HW.shape}, but the image has {raw_HW.shape}. Download the file "
                f"again."
            )
        if not 0 <= category < 65536:  # the table refuses those above 459, with their pixels
            raise LabelError(f"{item.label}: {item.key} has category {category}. {_OFFICIAL}")
        raw_HW[mask_HW] = category
    return ConvertedLabels(table(raw_HW, item.label.with_name(f"{item.label.name}:{item.key}")))


# 459 classes -----------------------------------------------------------------------------------


def _find_459(recipe: Recipe, source: Path, split: str) -> SplitFiles:
    root, images = _images(recipe, source)
    masks = first_existing(root, ("trainval", "../trainval"))
    if masks is None:
        raise recipe.missing(root, ("trainval",))
    names_file = first_existing(masks.parent, ("labels.txt", "459_labels.txt"))
    if names_file is not None:
        _check_names(names_file, recipe.names())
    keys = load_text("pascal_context_val.txt")
    return pair_listed(split, keys, images, by_key(masks, ".mat"), _VAL_LIST)


def _check_names(path: Path, expected: Sequence[str]) -> None:
    """Checks that the lines of labels.txt ("1: accordion") have the expected class names."""
    with open_regular(path, "r", errors="replace") as file:
        lines = file.read().splitlines()
    for line in lines:
        number, colon, name = line.partition(":")
        if not colon or not (number.strip().isascii() and number.strip().isdigit()):
            continue
        index = int(number) - 1
        known = expected[index] if 0 <= index < len(expected) else None
        if name.strip() != known:
            wanted = f"the name {known!r}" if known else f"class numbers 1..{len(expected)}"
            raise SourceError(
                f"{path}: expected {wanted}, found the line {line.strip()!r}. Use the official "
                f"labels.txt of PASCAL-Context, or remove the file."
            )


@cache
def _table_459() -> Table:
    """LabelMap - 1 in 16 bits, as published: 0 wraps to 65535, 460 gives 459; both unlabelled."""
    pairs = {raw: raw - 1 for raw in range(1, 461)}
    return Table(pairs, 65535, [0], "Values of LabelMap are 1..459. Use the official .mat file.")


def _convert_459(item: Item) -> ConvertedLabels:
    return ConvertedLabels(_table_459()(read_label_map(item.label), item.label))


_VOC2010 = "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar"

PASCAL_CONTEXT_59 = Recipe(
    name="pascal_context_59",
    title="PASCAL-Context, 59 classes",
    vocabulary="pascal_context_59",
    num_classes=_CLASSES,
    splits={"val": 5104},
    default_splits=("val",),
    ignored=(255,),
    find=_find_59,
    convert=_convert_59,
    layout=("VOCdevkit/VOC2010/JPEGImages/*.jpg", "VOCdevkit/VOC2010/trainval_merged.json"),
    homepage=(
        _VOC2010,
        "https://codalabuser.blob.core.windows.net/public/trainval_merged.json (PASCAL in Detail)",
    ),
    licence=(
        "images under the Flickr terms of use, see http://host.robots.ox.ac.uk/pascal/VOC; the "
        "labels state no licence (https://cs.stanford.edu/~roozbeh/pascal-context)"
    ),
)
PASCAL_CONTEXT_60 = replace(
    PASCAL_CONTEXT_59,
    name="pascal_context_60",
    title="PASCAL-Context, background and 59 classes",
    vocabulary="pascal_context_60",
    num_classes=1 + _CLASSES,
    convert=_convert_60,
)
PASCAL_CONTEXT_459 = replace(
    PASCAL_CONTEXT_59,
    name="pascal_context_459",
    title="PASCAL-Context, 459 classes",
    vocabulary="pascal_context_459",
    num_classes=459,
    ignored=(65535, 459),
    find=_find_459,
    convert=_convert_459,
    layout=(
        "VOCdevkit/VOC2010/JPEGImages/*.jpg",
        "VOCdevkit/VOC2010/trainval/*.mat (optionally VOCdevkit/VOC2010/labels.txt, to be checked)",
    ),
    homepage=(_VOC2010, "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
    bits=16,
)
