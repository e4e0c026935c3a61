"""Cityscapes: the fine annotations in the 19 evaluated classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .label_files import read_indices
from .recipe import Converted, Found, Item, Recipe
from .sources import add, by_key, pair
from .tables import Table, load_table

_IMAGE = "_leftImg8bit.png"
_IDS = "_gtFine_labelIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"


def _find(recipe: Recipe, source: Path, split: str) -> Found:
    """Towns' folders side by side; labelIds of the official download before derived trainIds."""
    images_root, masks_root = source / "leftImg8bit" / split, source / "gtFine" / split
    lacks = [
        str(root.relative_to(source)) for root in (images_root, masks_root) if not root.is_dir()
    ]
    if lacks:
        raise recipe.missing(source, lacks)
    images, ids, train_ids = (
        _of_towns(root, ending)
        for root, ending in ((images_root, _IMAGE), (masks_root, _IDS), (masks_root, _TRAIN_IDS))
    )
    found = pair(split, images, {**train_ids, **ids})
    derived = train_ids.keys() - ids.keys()
    if derived:
        found.notes.append(f"{len(derived)} masks are labelTrainIds, for want of labelIds")
    return found


def _of_towns(root: Path, ending: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for town in sorted(path for path in root.iterdir() if path.is_dir()):
        for key, path in by_key(town, ending).items():
            add(found, key, path)
    return found


@cache
def _table(train_ids: bool) -> Table:
    if train_ids:
        pairs = {index: index for index in range(19)}
        return Table(pairs, 255, [255], "Values of labelTrainIds are 0..18 and 255")
    pairs = load_table("cityscapes")["pairs"]
    rest = [255, *(raw for raw in range(34) if raw not in pairs)]
    return Table(pairs, 255, rest, "Values of labelIds are 0..33; take gtFine_trainvaltest.zip")


def _convert(item: Item) -> Converted:
    table = _table(item.label.name.endswith(_TRAIN_IDS))
    return Converted(table(read_indices(item.label), item.label))


CITYSCAPES = Recipe(
    name="cityscapes",
    title="Cityscapes fine, 19 classes",
    vocabulary="cityscapes",
    num_classes=19,
    splits={"train": 2975, "val": 500},
    default_splits=("val",),
    ignored=(255,),
    find=_find,
    convert=_convert,
    layout=(
        f"leftImg8bit/val/TOWN/*{_IMAGE}",
        f"gtFine/val/TOWN/*{_IDS} (or *{_TRAIN_IDS})",
    ),
    homepage=(
        "https://www.cityscapes-dataset.com/downloads (after registration): "
        "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip",
    ),
    licence="Cityscapes' own licence, not commercial: https://www.cityscapes-dataset.com/license",
)
