"""COCO-Stuff 164k with 171 classes, and COCO-Object: its 80 things and a background class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .recipe import Recipe, SplitFiles
from .sources import by_key, first_existing, pair
from .tables import Table, index_maps, load_table

_UNLABELLED = 255
_OTHER_CODES = (
    "Values of stuffthingmaps are 0..181 and 255. The stuff-only label maps (183 is 'other') and "
    "the .mat files of COCO-Stuff 10k use other values. Use stuffthingmaps_trainval2017.zip."
)
_DERIVED = ("_labeltrainids.png", "_instancetrainids.png")
_THINGS = 80


def _find(recipe: Recipe, source: Path, split: str) -> SplitFiles:
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
        raise recipe.missing(source, images_at if images is None else masks_at)
    return pair(split, by_key(images, (".jpg", ".jpeg")), by_key(masks, ".png", other=_DERIVED))


def _unlabelled_values(pairs: dict[int, int]) -> list[int]:
    """Raw values that count as unlabelled: 255, and the official ids that no image uses."""
    return [_UNLABELLED, *(raw for raw in range(182) if raw not in pairs)]


def _stuff() -> Table:
    pairs = load_table("coco_stuff_171")["pairs"]
    return Table(pairs, _UNLABELLED, _unlabelled_values(pairs), _OTHER_CODES)


def _object() -> Table:
    """Things become 1..80, stuff becomes 0, the background."""
    pairs = load_table("coco_stuff_171")["pairs"]
    classes = {raw: index + 1 if index < _THINGS else 0 for raw, index in pairs.items()}
    return Table(classes, _UNLABELLED, _unlabelled_values(pairs), _OTHER_CODES)


COCO_STUFF_171 = Recipe(
    name="coco_stuff_171",
    title="COCO-Stuff 164k, 171 classes",
    vocabulary="coco_stuff_171",
    num_classes=171,
    splits={"train": 118287, "val": 5000},
    default_splits=("train", "val"),
    ignored=(_UNLABELLED,),
    find=_find,
    convert=index_maps(_stuff),
    layout=(
        "train2017/*.jpg, val2017/*.jpg (or inside images/)",
        "stuffthingmaps/train2017/*.png, stuffthingmaps/val2017/*.png",
    ),
    homepage=(
        "images: http://images.cocodataset.org/zips/train2017.zip and .../val2017.zip",
        "labels: http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
        "stuffthingmaps_trainval2017.zip (https://github.com/nightrome/cocostuff)",
    ),
    licence="labels CC BY 4.0; images under their own Flickr terms, see cocodataset.org",
)
COCO_OBJECT = replace(
    COCO_STUFF_171,
    name="coco_object",
    title="COCO-Object, background and 80 things (from stuffthingmaps)",
    vocabulary="coco_object",
    num_classes=81,
    default_splits=("val",),
    convert=index_maps(_object),
)
