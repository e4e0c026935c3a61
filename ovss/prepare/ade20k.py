"""ADE20K: the scene parsing benchmark of 150 classes, and the full set in 847."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np

from .index_file import read_file_list
from .label_files import read_colours, read_picture
from .recipe import Converted, Found, Item, LabelError, Recipe
from .sources import add, by_key, first_existing, pair
from .tables import Table, index_maps, load_table

_FOLDERS = {"train": "training", "val": "validation"}
_LICENCE = (
    "ADE20K's terms of use, https://ade20k.csail.mit.edu/terms (research and education, not "
    "commercial, as far as we know: read them)"
)


# 150 classes -----------------------------------------------------------------------------------


def _find_150(recipe: Recipe, source: Path, split: str) -> Found:
    roots = ("ADEChallengeData2016/", "")
    images_at = [f"{root}images/{_FOLDERS[split]}" for root in roots]
    masks_at = [f"{root}annotations/{_FOLDERS[split]}" for root in roots]
    images, masks = first_existing(source, images_at), first_existing(source, masks_at)
    if images is None or masks is None:
        raise recipe.missing(source, images_at if images is None else masks_at)
    return pair(split, by_key(images, (".jpg", ".jpeg")), by_key(masks, ".png"))


def _table_150() -> Table:
    return Table(
        {raw: raw - 1 for raw in range(1, 151)},
        255,
        [0],
        "Annotations of SceneParse150 are 0 (other) and 1..150; a converted file has no 150 or has "
        "255. Take annotations/ of ADEChallengeData2016.zip",
    )


# 847 classes -----------------------------------------------------------------------------------

_SHORT_SIDE = 512
_HIGHEST = 255 // 10 * 256 + 255


def _root(source: Path) -> Path | None:
    """The folder ADE20K_2021_17_01, whether `source` is it or holds it."""
    roots = (source, source / "ADE20K_2021_17_01", source / "dataset" / "ADE20K_2021_17_01")
    return next((root for root in roots if (root / "images" / "ADE").is_dir()), None)


def _find_847(recipe: Recipe, source: Path, split: str) -> Found:
    root = _root(source)
    if root is None:
        raise recipe.missing(source, ("ADE20K_2021_17_01/images/ADE", "images/ADE"))
    index = next(
        (path for path in (root, root.parent) if (path / "index_ade20k.pkl").is_file()), None
    )
    found = Found()
    if index is None:
        found.notes.append("no index_ade20k.pkl: the folders were searched instead")
        paths = [
            Path(folder) / name
            for folder, _, names in os.walk(root / "images" / "ADE" / _FOLDERS[split])
            for name in names
            if name.lower().endswith(".jpg")
        ]
    else:
        listing = read_file_list(index / "index_ade20k.pkl")
        paths = [_beside(root, folder) / name for folder, name in listing]
    images: dict[str, Path] = {}
    for path in sorted(paths):
        if path.stem.split("_")[1:2] == [split]:  # ADE_val_00000001, ADE_frame_01r9r5t1 and so on
            add(images, path.stem, path)
    for key, path in images.items():
        label = path.with_name(f"{key}_seg.png")
        lacks = [str(file) for file in (path, label) if not file.is_file()]
        found.images += path.is_file()
        found.masks += label.is_file()
        if lacks:
            found.unpaired.append(f"missing: {' and '.join(lacks)}")
        else:
            found.items.append(Item(split, key, path, label))
    return found


def _beside(root: Path, folder: str) -> Path:
    """A folder of the index, which counts from where ADE20K_2021_17_01 lies."""
    first, _, rest = folder.partition("/")
    return root / rest if first == "ADE20K_2021_17_01" else root / folder


@cache
def _table_847() -> Table:
    pairs = load_table("ade20k_847")["pairs"]
    rest = [raw for raw in range(_HIGHEST + 1) if raw not in pairs]
    return Table(pairs, 65535, rest, "Take the *_seg.png of ADE20K_2021_17_01")


def _convert_847(item: Item) -> Converted:
    """Class = R // 10 * 256 + G, in numbers wider than the channels'; then both at 512.

    Bilinear without antialiasing and nearest as OpenCV has them, since the published scores are of
    such pictures.
    """
    seg_HW3 = read_colours(item.label)
    raw_HW = seg_HW3[..., 0].astype(np.uint16) // 10 * 256 + seg_HW3[..., 1]
    labels_HW = _table_847()(raw_HW, item.label)
    height, width = labels_HW.shape
    if min(height, width) <= _SHORT_SIDE:
        return Converted(labels_HW)
    import cv2

    image_HW3 = read_picture(item.image)
    if image_HW3.shape[:2] != labels_HW.shape:
        raise LabelError(
            f"{item.label}: labels of (height, width) {labels_HW.shape} for {item.image} of "
            f"{image_HW3.shape[:2]}; unpack or download both again"
        )
    scale = _SHORT_SIDE / min(height, width)
    size = (
        _SHORT_SIDE if width <= height else round(width * scale),
        _SHORT_SIDE if height <= width else round(height * scale),
    )
    return Converted(
        np.asarray(cv2.resize(labels_HW, size, interpolation=cv2.INTER_NEAREST)),
        np.asarray(cv2.resize(image_HW3, size, interpolation=cv2.INTER_LINEAR), np.uint8),
    )


ADE20K_150 = Recipe(
    name="ade20k_150",
    title="ADE20K scene parsing, 150 classes",
    vocabulary="ade20k_150",
    num_classes=150,
    splits={"train": 20210, "val": 2000},
    default_splits=("val",),
    ignored=(255,),
    find=_find_150,
    convert=index_maps(_table_150),
    layout=(
        "ADEChallengeData2016/images/validation/*.jpg",
        "ADEChallengeData2016/annotations/validation/*.png",
    ),
    homepage=("http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",),
    licence=_LICENCE,
)
ADE20K_847 = Recipe(
    name="ade20k_847",
    title="ADE20K full, 847 classes",
    vocabulary="ade20k_847",
    num_classes=847,
    splits={"train": None, "val": 2000},
    default_splits=("val",),
    ignored=(65535,),
    find=_find_847,
    convert=_convert_847,
    layout=(
        "ADE20K_2021_17_01/index_ade20k.pkl (without it the folders are searched)",
        "ADE20K_2021_17_01/images/ADE/validation/*/*/ADE_val_*.jpg and *_seg.png",
    ),
    homepage=("https://ade20k.csail.mit.edu/request_data (after registration)",),
    licence=_LICENCE,
    bits=16,
)
