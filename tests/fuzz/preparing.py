"""Official files of benchmarks that are damaged, incomplete or of another kind."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from ovss.prepare import RECIPES
from tests.prepare.official_files import index_png, write_image

from .cases import ACCEPTED, DENIED, EITHER, REFUSED, Box, Call, Group
from .odd import TEXTS, VALUES, as_json, damaged, nested, places_of, with_value

PREPARING = Group("preparing", weight=1.5)
FLAGS = ("--source", "src", "--out", "out", "--quiet", "--jobs", "1", "--allow-partial")


def city(box: Box) -> str:
    """Official files of Cityscapes with one image."""
    key, root = "ulm_000000_000019", box.folder / "src"
    write_image(root / f"leftImg8bit/val/ulm/{key}_leftImg8bit.png", 2, 3)
    index_png(root / f"gtFine/val/ulm/{key}_gtFine_labelIds.png", [[7, 8, 23], [0, 26, 33]])
    return "cityscapes"


def voc(box: Box) -> str:
    """Official files of PASCAL VOC with one image."""
    root = box.folder / "src/VOCdevkit/VOC2012"
    write_image(root / "JPEGImages/2007_000033.jpg", 2, 3)
    index_png(root / "SegmentationClassAug/2007_000033.png", [[0, 1, 20], [255, 11, 5]], True)
    box.write("src/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "2007_000033\n")
    return "pascal_voc_20"


def ade(box: Box) -> str:
    """Official files of ADE20K with one image."""
    root = box.folder / "src/ADEChallengeData2016"
    write_image(root / "images/validation/ADE_val_00000001.jpg", 2, 3)
    index_png(root / "annotations/validation/ADE_val_00000001.png", [[0, 1, 150], [2, 3, 4]])
    return "ade20k_150"


KINDS: dict[str, Callable[[Box], str]] = {"city": city, "voc": voc, "ade": ade}


def _call(name: str, statuses: frozenset[int] = EITHER, *names: str) -> Call:
    return Call(("prepare", name, *FLAGS), statuses, names)


@PREPARING.each(KINDS)
def good(box: Box, kind: str) -> Call:
    return _call(KINDS[kind](box), ACCEPTED)


@PREPARING.each([(kind, number) for kind in KINDS for number in range(5)])
def damaged_file(box: Box, pair: tuple[str, int]) -> Call:
    name = KINDS[pair[0]](box)
    files = sorted(path for path in (box.folder / "src").rglob("*") if path.is_file())
    path = box.random.choice(files)
    path.write_bytes(damaged(path.read_bytes(), box.random))
    return _call(name)


@PREPARING.each([(kind, number) for kind in KINDS for number in range(3)])
def other_file(box: Box, pair: tuple[str, int]) -> Call:
    name = KINDS[pair[0]](box)
    files = sorted(path for path in (box.folder / "src").rglob("*") if path.is_file())
    path = box.random.choice(files)
    path.write_bytes(box.random.choice((b"", b"\0", b"text", b"<html>", b"PK\3\4", b"\x1f\x8b")))
    return _call(name)


@PREPARING.each(KINDS)
def wrong_label(box: Box, kind: str) -> Call:
    name = KINDS[kind](box)
    (path,) = [p for p in (box.folder / "src").rglob("*.png") if "leftImg" not in str(p)]
    index_png(path, np.full((2, 3), 254, np.uint8))
    return _call(name, REFUSED, path.name)


@PREPARING.each(KINDS)
def wrong_size(box: Box, kind: str) -> Call:
    name = KINDS[kind](box)
    (path,) = [p for p in (box.folder / "src").rglob("*.png") if "leftImg" not in str(p)]
    index_png(path, np.ones((5, 7), np.uint8))
    return _call(name, REFUSED, path.stem.partition("_gt")[0])


@PREPARING.each(sorted(RECIPES))
def empty_source(box: Box, name: str) -> Call:
    (box.folder / "src").mkdir()
    return _call(name, REFUSED, "src")


@PREPARING.each(["images", "masks", "classes.json", "out"])
def output_in_the_way(box: Box, kind: str) -> Call:
    name = city(box)
    box.write("out" if kind == "out" else f"out/{kind}", "mine")
    return _call(name, REFUSED, "out")


@PREPARING.each(range(10))
def merged_annotations(box: Box, _: int) -> Call:
    write_image(box.folder / "src/VOC2010/JPEGImages/2008_000002.jpg", 2, 3)
    content = {
        "images": [{"image_id": 1, "file_name": "2008_000002.jpg", "phase": "val",
                    "height": 2, "width": 3}],
        "annos_segmentation": [{"image_id": 1, "category_id": 1,
                                "segmentation": {"counts": [0, 6], "size": [2, 3]}}],
        "annos_occlusion": [], "annos_boundary": [], "categories": [{"name": "sky", "id": 1}],
        "parts": [],
    }  # fmt: skip
    place = box.random.choice(list(places_of(content)))
    text = as_json(with_value(content, place, box.random.choice(VALUES)))
    box.write("src/VOC2010/trainval_merged.json", box.random.choice((text, text, nested(5000))))
    return _call("pascal_context_59", EITHER, "trainval_merged.json", "src")


@PREPARING.each(
    ["absent.txt", "", "\0", "2007_000033", "2007_000033\n2007_000033\n", "\xff", "../x"]
)
def list_of_images(box: Box, content: str) -> Call:
    name = voc(box)
    path = "src/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    box.write(path, content.encode("latin-1"))
    return _call(name, EITHER)


@PREPARING.each([*TEXTS[:12], "cityscape", "Cityscapes", "ade20k"])
def name_of_a_dataset(box: Box, name: str) -> Call:
    city(box)
    return Call(("prepare", *FLAGS, "--", name), DENIED)


@PREPARING.each([("--splits", "x"), ("--splits", "val,val"), ("--splits", ","), ("--jobs", "0"),
                 ("--jobs", "-1"), ("--jobs", "9" * 30), ("--link", "x"),
                 ("--splits", "train")])  # fmt: skip
def flags(box: Box, pair: tuple[str, str]) -> Call:
    name = city(box)
    return Call(("prepare", name, *FLAGS, *pair), frozenset({0, *DENIED}))


@PREPARING.each(range(12))
def checked_folder(box: Box, number: int) -> Call:
    """`--check` of a folder whose description is changed."""
    counts = {
        "images": 1,
        "pixels": 6,
        "ignored_pixels": 1,
        "labels_sha256": "0" * 64,
        "sizes": {"3x2": 1},
        "dropped": [],
    }
    description = {"name": "cityscapes", "title": "Cityscapes", "splits": {"val": counts},
                   "num_classes": 19, "mask_suffix": ".png", "licence": "none",
                   "census": {"val": [[1, 1]]}, "partial": False}  # fmt: skip
    place = box.random.choice(list(places_of(description)))
    text = json.dumps(with_value(description, place, box.random.choice(VALUES)))
    box.write("done/dataset.json", text if number % 3 else damaged(text.encode(), box.random))
    if number % 2:
        return Call(("prepare", "--check", "done"), REFUSED, has_error=False)
    city(box)
    return Call(("prepare", "cityscapes", "--source", "src", "--out", "done", "--quiet"), REFUSED)
