"""COCO-Stuff 164k in 171 classes, and COCO-Object: its 80 things before a background."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .label_files import read_indices
from .recipe import Converted, Found, Item, Recipe
from .sources import by_key, first_existing, pair
from .tables import Table, load_table

_UNLABELLED = 255
_OTHER_CODES = (
    "Pixels of stuffthingmaps are 0..181 and 255; the stuff-only pixel maps (183 is 'other') and "
    "the .mat files of COCO-Stuff 10k use other codes. Take stuffthingmaps_trainval2017.zip"
)
_DERIVED = ("_labeltrainids.png", "_instancetrainids.png")
_THINGS = 80


def _find(source: Path, split: str) -> Found:
    folder = f"{split}2017"
    images_at = (f"images/{folder}", folder, f"coco/images/{folder}", f"coco/{folder}")
    masks_at = (
        f"stuffthingmaps/{folder}",
        f"stuffthingmaps_trainval2017/{folder}",
        f"annotations/{folder}",
        f"coco/stuffthingmaps/{folder}",
    )
    images, masks = first_existing(source, images_at), first_existing(source, masks_at)
    if images is None or masks is None:
        raise COCO_STUFF_171.missing(source, images_at if images is None else masks_at)
    return pair(split, by_key(images, (".jpg", ".jpeg")), by_key(masks, ".png", other=_DERIVED))


def _never(pairs: dict[int, int]) -> list[int]:
    """What counts as not labelled: 255, and the official ids that no picture uses."""
    return [_UNLABELLED, *(raw for raw in range(182) if raw not in pairs)]


@cache
def _stuff() -> Table:
    pairs = load_table("coco_stuff_171")["pairs"]
    return Table(pairs, _UNLABELLED, _never(pairs), _OTHER_CODES)


@cache
def _object() -> Table:
    pairs = load_table("coco_stuff_171")["pairs"]
    counted = {raw: index + 1 if index < _THINGS else 0 for raw, index in pairs.items()}
    return Table(counted, _UNLABELLED, _never(pairs), _OTHER_CODES)


def _convert_stuff(item: Item) -> Converted:
    return Converted(_stuff()(read_indices(item.label), item.label))


def _convert_object(item: Item) -> Converted:
    return Converted(_object()(read_indices(item.label), item.label))


_LAYOUT = (
    "train2017/*.jpg, val2017/*.jpg (or within images/)",
    "stuffthingmaps/train2017/*.png, stuffthingmaps/val2017/*.png",
)
_HOMEPAGE = (
    "pictures: http://images.cocodataset.org/zips/train2017.zip and .../val2017.zip",
    "labels: http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
    "stuffthingmaps_trainval2017.zip (https://github.com/nightrome/cocostuff)",
)
_LICENCE = "labels CC BY 4.0; pictures under the Flickr terms of each, see cocodataset.org"
_COUNTS = {"train": 118287, "val": 5000}

COCO_STUFF_171 = Recipe(
    name="coco_stuff_171",
    title="COCO-Stuff 164k, 171 classes",
    vocabulary="coco_stuff_171",
    num_classes=171,
    splits=_COUNTS,
    default_splits=("train", "val"),
    ignored=(_UNLABELLED,),
    find=_find,
    convert=_convert_stuff,
    layout=_LAYOUT,
    homepage=_HOMEPAGE,
    licence=_LICENCE,
)
COCO_OBJECT = Recipe(
    name="coco_object",
    title="COCO-Object, background and 80 things (of stuffthingmaps)",
    vocabulary="coco_object",
    num_classes=81,
    splits=_COUNTS,
    default_splits=("val",),
    ignored=(_UNLABELLED,),
    find=_find,
    convert=_convert_object,
    layout=_LAYOUT,
    homepage=_HOMEPAGE,
    licence=_LICENCE,
)
