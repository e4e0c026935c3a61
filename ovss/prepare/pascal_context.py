"""PASCAL-Context: 59 classes from the merged json, 459 from the .mat files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .label_files import read_label_map
from .recipe import Converted, Found, Item, LabelError, Recipe, SourceError
from .rle import decode_mask
from .sources import by_key, first_existing, listed
from .tables import Table, load_table, load_text

_ROOTS = ("VOCdevkit/VOC2010/", "VOC2010/", "")
_VAL_LIST = "the official list of 5104 pictures"


def _images(recipe: Recipe, source: Path) -> tuple[Path, dict[str, Path]]:
    """The folder VOC2010 and its pictures."""
    folder = first_existing(source, [f"{root}JPEGImages" for root in _ROOTS])
    if folder is None:
        raise recipe.missing(source, ("VOC2010/JPEGImages",))
    return folder.parent, by_key(folder, (".jpg", ".jpeg"))


# 59 classes ------------------------------------------------------------------------------------


def _find_59(recipe: Recipe, source: Path, split: str) -> Found:
    root, images = _images(recipe, source)
    path = first_existing(root, ("trainval_merged.json", "../trainval_merged.json"))
    if path is None:
        raise recipe.missing(root, ("trainval_merged.json",))
    content = _read_merged(path, recipe.names())
    pictures = {row["image_id"]: row for row in content["images"] if row["phase"] == split}
    painted: dict[Any, list[tuple[int, Any]]] = {image: [] for image in pictures}
    for mark in content["annos_segmentation"]:
        if mark["image_id"] in painted:  # in file order: where marks overlap, the later one wins
            painted[mark["image_id"]].append((mark["category_id"], mark["segmentation"]))
    rows = {Path(row["file_name"]).stem: row for row in pictures.values()}
    if len(rows) != len(pictures):
        raise SourceError(f"{path}: two pictures of phase {split!r} have one file name")
    strange = sorted(rows.keys() - set(load_text("pascal_context_val.txt")))
    if strange:
        raise SourceError(
            f"{path}: phase 'val' has {strange[0]} and {len(strange) - 1} more that are not in "
            f"{_VAL_LIST}; take the official trainval_merged.json"
        )
    keys = load_text("pascal_context_val.txt")
    found = listed(split, keys, images, dict.fromkeys(rows, path), _VAL_LIST)
    found.items = [
        Item(
            split, item.key, item.image, path, (rows[item.key], painted[rows[item.key]["image_id"]])
        )
        for item in found.items
    ]
    return found


def _read_merged(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The json, with what must be in it; names of categories are compared with ours."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"{path}: no JSON ({error}); download it again") from None
    needed = {
        "images": ("file_name", "image_id", "phase", "height", "width"),
        "annos_segmentation": ("image_id", "category_id", "segmentation"),
    }
    for key, fields in needed.items():
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise SourceError(f"{path} has no list {key!r}; take the official trainval_merged.json")
        wrong = next(
            (
                n
                for n, row in enumerate(rows)
                if not (isinstance(row, dict) and all(name in row for name in fields))
            ),
            None,
        )
        if wrong is not None:
            raise SourceError(f"{path}: entry {wrong} of {key!r} lacks one of {', '.join(fields)}")
    _check_categories(path, content.get("categories") or [], names)
    return content


def _check_categories(
    path: Path, categories: list[Mapping[str, Any]], names: Sequence[str]
) -> None:
    """The 59 ids must be called what we call them; 397 is "table" in one list of the two."""
    pairs = load_table("pascal_context_59")["pairs"]
    for row in categories:
        raw, name = row.get("category_id", row.get("id")), row.get("name")
        if raw in pairs and name not in (names[pairs[raw]], *_SAME.get(raw, ())):
            raise SourceError(
                f"{path} calls category {raw} {name!r}, we call it {names[pairs[raw]]!r}: another "
                f"numbering. Take the official trainval_merged.json"
            )


_SAME = {397: ("table", "diningtable")}


@cache
def _table_59() -> Table:
    pairs = load_table("pascal_context_59")["pairs"]
    rest = [raw for raw in range(460) if raw not in pairs]
    return Table(pairs, 255, rest, "Categories are 1..459; take the official trainval_merged.json")


def _convert_59(item: Item) -> Converted:
    """Paint every mark with its category on 0, in file order; then keep the 59."""
    row, marks = item.payload
    raw_HW = np.zeros((int(row["height"]), int(row["width"])), np.int32)
    for category, rle in marks:
        try:
            mask_HW = decode_mask(rle)
        except (ValueError, TypeError) as error:
            raise LabelError(
                f"{item.label}: a mark of category {category} in {item.key}: {error}"
            ) from error
        if mask_HW.shape != raw_HW.shape:
            raise LabelError(
                f"{item.label}: a mark of category {category} in {item.key} has (height, width) "
                f"{mask_HW.shape}, the picture {raw_HW.shape}; download the json again"
            )
        raw_HW[mask_HW] = int(category)
    return Converted(_table_59()(raw_HW, item.label.with_name(f"{item.label.name}:{item.key}")))


# 459 classes -----------------------------------------------------------------------------------


def _find_459(recipe: Recipe, source: Path, split: str) -> Found:
    root, images = _images(recipe, source)
    masks = first_existing(root, ("trainval", "../trainval"))
    if masks is None:
        raise recipe.missing(root, ("trainval",))
    names = first_existing(masks.parent, ("labels.txt", "459_labels.txt"))
    if names is not None:
        _check_names(names, recipe.names())
    keys = load_text("pascal_context_val.txt")
    return listed(split, keys, images, by_key(masks, ".mat"), _VAL_LIST)


def _check_names(path: Path, ours: Sequence[str]) -> None:
    """labels.txt ("1: accordion") must number the classes as we do."""
    for line in path.read_text("utf-8", "replace").splitlines():
        number, colon, name = line.partition(":")
        if not colon or not number.strip().isdigit():
            continue
        index = int(number) - 1
        if not 0 <= index < len(ours) or name.strip() != ours[index]:
            ours_too = ours[index] if 0 <= index < len(ours) else "nothing"
            raise SourceError(
                f"{path}: line {line.strip()!r}, where we have {ours_too!r}; take the official "
                f"labels.txt of PASCAL-Context, or remove it"
            )


@cache
def _table_459() -> Table:
    """LabelMap - 1 as it is published: 0 wraps to 65535, 460 gives 459; both mean not labelled."""
    pairs = {raw: raw - 1 for raw in range(1, 461)}
    return Table(pairs, 65535, [0], "Values of LabelMap are 1..459; take the official .mat file")


def _convert_459(item: Item) -> Converted:
    return Converted(_table_459()(read_label_map(item.label), item.label))


_VOC2010 = "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar"

PASCAL_CONTEXT_59 = Recipe(
    name="pascal_context_59",
    title="PASCAL-Context, 59 classes",
    vocabulary="pascal_context_59",
    num_classes=59,
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
        "pictures under the Flickr terms of use, see http://host.robots.ox.ac.uk/pascal/VOC; the "
        "labels state none (https://cs.stanford.edu/~roozbeh/pascal-context)"
    ),
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
        "VOCdevkit/VOC2010/trainval/*.mat (and beside it labels.txt, which is compared if there)",
    ),
    homepage=(_VOC2010, "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
    bits=16,
)
