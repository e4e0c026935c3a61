"""ADE20K: the scene parsing benchmark with 150 classes, and the full dataset with 847."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np

from .index_file import read_file_list
from .label_files import read_colours, read_rgb
from .recipe import ConvertedLabels, Item, LabelError, Recipe, SplitFiles
from .sources import add, by_key, first_existing, pair
from .tables import Table, index_maps, load_table

_FOLDERS = {"train": "training", "val": "validation"}
_LICENCE = (
    "ADE20K terms of use, https://ade20k.csail.mit.edu/terms (research and education, not "
    "commercial, as far as we know; read them before use)"
)


# 150 classes -----------------------------------------------------------------------------------


def _find_150(recipe: Recipe, source: Path, split: str) -> SplitFiles:
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
        "Annotations of SceneParse150 hold 0 (other) and 1..150; other values suggest that the "
        "file was already converted. Use annotations/ of ADEChallengeData2016.zip.",
    )


# 847 classes -----------------------------------------------------------------------------------

_SHORT_SIDE = 512
_HIGHEST = 255 // 10 * 256 + 255


def _root(source: Path) -> Path | None:
    """Folder ADE20K_2021_17_01, which may be `source` itself or a folder inside it."""
    roots = (source, source / "ADE20K_2021_17_01", source / "dataset" / "ADE20K_2021_17_01")
    return next((root for root in roots if (root / "images" / "ADE").is_dir()), None)


def _find_847(recipe: Recipe, source: Path, split: str) -> SplitFiles:
    root = _root(source)
    if root is None:
        raise recipe.missing(source, ("ADE20K_2021_17_01/images/ADE", "images/ADE"))
    index = next(
        (path for path in (root, root.parent) if (path / "index_ade20k.pkl").is_file()), None
    )
    files = SplitFiles()
    if index is None:
        files.notes.append("index_ade20k.pkl is missing, so the folders were searched instead")
        paths = [
            Path(folder) / name
            for folder, _, names in os.walk(root / "images" / "ADE" / _FOLDERS[split])
            for name in names
            if name.lower().endswith(".jpg")
        ]
    else:
        listing = read_file_list(index / "index_ade20k.pkl")
        paths = [_index_folder(root, folder) / name for folder, name in listing]
    images: dict[str, Path] = {}
    for path in sorted(paths):
        # the split is the second part of a name; ADE_frame_01r9r5t1 and others belong to none
        if path.stem.split("_")[1:2] == [split]:
            add(images, path.stem, path)
    for key, path in images.items():
        label = path.with_name(f"{key}_seg.png")
        missing = [str(file) for file in (path, label) if not file.is_file()]
        files.images += path.is_file()
        files.masks += label.is_file()
        if missing:
            files.unpaired.append(f"missing {' and '.join(missing)}")
        else:
            files.items.append(Item(split, key, path, label))
    return files


def _index_folder(root: Path, folder: str) -> Path:
    """Folder named in the index, whose paths are relative to the parent of ADE20K_2021_17_01."""
    first, _, rest = folder.partition("/")
    return root / rest if first == "ADE20K_2021_17_01" else root / folder


@cache
def _table_847() -> Table:
    pairs = load_table("ade20k_847")["pairs"]
    rest = [raw for raw in range(_HIGHEST + 1) if raw not in pairs]
    return Table(pairs, 65535, rest, "Use the *_seg.png files of ADE20K_2021_17_01.")


def _convert_847(item: Item) -> ConvertedLabels:
    """Converts a label file with class = R // 10 * 256 + G, and shrinks it and the image to 512.

    The short side becomes 512. OpenCV resizes the image bilinearly without antialiasing and the
    label map by nearest neighbour, because the published scores were measured on such images.
    """
    seg_HW3 = read_colours(item.label)
    # computed in 16 bits, because the products overflow the 8 bits of the channels
    raw_HW = seg_HW3[..., 0].astype(np.uint16) // 10 * 256 + seg_HW3[..., 1]
    labels_HW = _table_847()(raw_HW, item.label)
    height, width = labels_HW.shape
    if min(height, width) <= _SHORT_SIDE:
        return ConvertedLabels(labels_HW)
    import cv2

    image_HW3 = read_rgb(item.image)
    if image_HW3.shape[:2] != labels_HW.shape:
        raise LabelError(
            f"{item.label}: the label map has (height, width) {labels_HW.shape}, but {item.image} "
            f"has {image_HW3.shape[:2]}. Unpack or download both again."
        )
    scale = _SHORT_SIDE / min(height, width)
    size = (
        _SHORT_SIDE if width <= height else round(width * scale),
        _SHORT_SIDE if height <= width else round(height * scale),
    )
    return ConvertedLabels(
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
        "ADE20K_2021_17_01/index_ade20k.pkl (optional; without it, the folders are searched)",
        "ADE20K_2021_17_01/images/ADE/validation/*/*/ADE_val_*.jpg and *_seg.png",
    ),
    homepage=("https://ade20k.csail.mit.edu/request_data (after registration)",),
    licence=_LICENCE,
    bits=16,
)
