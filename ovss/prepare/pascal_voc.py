"""PASCAL VOC 2012: 20 classes without background, and 21 with background as the first or last."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from .recipe import Recipe, SplitFiles
from .sources import by_key, first_existing, pair_listed, read_source_text
from .tables import Table, index_maps

_CLASSES = 20
_WORDS_20B = 59
_HINT = (
    "Labels are 0 (background), 1..20 and 255 (border). Use the files from SegmentationClassAug or "
    "SegmentationClass."
)


def _find(recipe: Recipe, source: Path, split: str) -> SplitFiles:
    roots = ("VOCdevkit/VOC2012/", "VOC2012/", "")
    listing = first_existing(
        source, [f"{root}ImageSets/Segmentation/{split}.txt" for root in roots]
    )
    if listing is None:
        raise recipe.missing(source, [f"VOC2012/ImageSets/Segmentation/{split}.txt"])
    root = listing.parent.parent.parent
    masks = first_existing(root, ("SegmentationClassAug", "SegmentationClass"))
    if masks is None or not (root / "JPEGImages").is_dir():
        missing = (
            ("SegmentationClassAug", "SegmentationClass") if masks is None else ("JPEGImages",)
        )
        raise recipe.missing(root, missing)
    images = by_key(root / "JPEGImages", (".jpg", ".jpeg"))
    keys = read_source_text(listing).split()
    files = pair_listed(split, keys, images, by_key(masks, ".png"), str(listing))
    if masks.name == "SegmentationClass":
        files.notes.append("SegmentationClassAug is missing, so SegmentationClass was used")
    return files


def _table_21() -> Table:
    """Table that keeps 0 (background) and 1..20; 255 means unlabelled."""
    return Table({raw: raw for raw in range(_CLASSES + 1)}, 255, [255], _HINT)


def _table(background: int) -> Table:
    """Table that maps 1..20 to 0..19 and 0 to `background`; 255 means unlabelled."""
    pairs = {raw: raw - 1 for raw in range(1, _CLASSES + 1)}
    if background == 255:
        return Table(pairs, 255, [0, 255], _HINT)
    return Table({**pairs, 0: background}, 255, [255], _HINT)


PASCAL_VOC_20 = Recipe(
    name="pascal_voc_20",
    title="PASCAL VOC 2012, 20 classes (PAS-20)",
    vocabulary="pascal_voc_20",
    num_classes=_CLASSES,
    splits={"val": 1449, "trainaug": 10582},
    default_splits=("val",),
    ignored=(255,),
    find=_find,
    convert=index_maps(partial(_table, 255)),
    layout=(
        "VOCdevkit/VOC2012/JPEGImages/*.jpg",
        "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt (trainaug.txt for training)",
        "VOCdevkit/VOC2012/SegmentationClassAug/*.png (or SegmentationClass, the same for val)",
    ),
    homepage=(
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "SegmentationClassAug: label maps derived from SBD, as distributed for DeepLab; see "
        "http://home.bharathh.info/pubs/codes/SBD/download.html",
    ),
    licence="images under the Flickr terms of use, see http://host.robots.ox.ac.uk/pascal/VOC",
    drop_unlabelled=True,
)
PASCAL_VOC_21 = replace(
    PASCAL_VOC_20,
    name="pascal_voc_21",
    title="PASCAL VOC 2012, background and 20 classes (VOC21)",
    vocabulary="pascal_voc_21",
    num_classes=_CLASSES + 1,
    convert=index_maps(_table_21),
    drop_unlabelled=False,
)
PASCAL_VOC_20B = replace(
    PASCAL_VOC_20,
    name="pascal_voc_20b",
    title="PASCAL VOC 2012, 20 classes and background (PAS-20b)",
    vocabulary="pascal_voc_20b",
    num_classes=_CLASSES + 1,
    convert=index_maps(partial(_table, _CLASSES)),
    drop_unlabelled=False,
    first_classes="pascal_voc_20",
    last_classes=("background",),
    word_class=tuple(min(word, _CLASSES) for word in range(_WORDS_20B)),
)
