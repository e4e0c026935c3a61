"""Cityscapes: fine annotations in the 19 evaluated classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .label_files import read_indices
from .recipe import ConvertedLabels, Item, Recipe, SplitFiles
from .sources import add, by_key, pair
from .tables import Table, load_table

_IMAGE = "_leftImg8bit.png"
_IDS = "_gtFine_labelIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"


def _find(recipe: Recipe, source: Path, split: str) -> SplitFiles:
    """Files of all towns; official labelIds take precedence over the derived labelTrainIds."""
    images_root, masks_root = source / "leftImg8bit" / split, source / "gtFine" / split
    missing = [
        str(root.relative_to(source)) for root in (images_root, masks_root) if not root.is_dir()
    ]
    if missing:
        raise recipe.missing(source, missing)
    images, ids, train_ids = (
        _files_of_towns(root, ending)
        for root, ending in ((images_root, _IMAGE), (masks_root, _IDS), (masks_root, _TRAIN_IDS))
    )
    files = pair(split, images, {**train_ids, **ids})
    derived = train_ids.keys() - ids.keys()
    if derived:
        files.notes.append(
            f"labelIds are missing for {len(derived)} images, so their labelTrainIds were used"
        )
    return files


def _files_of_towns(root: Path, ending: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for town in sorted(path for path in root.iterdir() if path.is_dir()):
        for key, path in by_key(town, ending).items():
            add(files, key, path)
    return files


@cache
def _table(train_ids: bool) -> Table:
    if train_ids:
        pairs = {index: index for index in range(19)}
        return Table(
            pairs, 255, [255], "Values of labelTrainIds are 0..18 and 255. Generate them again."
        )
    pairs = load_table("cityscapes")["pairs"]
    rest = [255, *(raw for raw in range(34) if raw not in pairs)]
    return Table(pairs, 255, rest, "Values of labelIds are 0..33. Use gtFine_trainvaltest.zip.")


def _convert(item: Item) -> ConvertedLabels:
    table = _table(item.label.name.endswith(_TRAIN_IDS))
    return ConvertedLabels(table(read_indices(item.label), item.label))


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
    licence="Cityscapes licence, non-commercial: https://www.cityscapes-dataset.com/license",
)
