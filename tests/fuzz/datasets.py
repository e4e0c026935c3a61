"""Folders of a user's dataset: label maps, annotation files, and what is missing in them."""

from __future__ import annotations

import base64
import io
import shutil
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tests.data.made_folder import label_map, made

from .cases import ACCEPTED, ANYTHING, EITHER, REFUSED, Box, Call, Group
from .classes import read_folder
from .images import MODES, encoded, image_of
from .odd import VALUES, as_json, damaged, places_of, with_value, without

DATASETS = Group("datasets", weight=2)


def _call(box: Box, statuses: frozenset[int] = EITHER, *names: str, **options: str) -> Call:
    """Reads the folder `data`, sometimes through the command."""
    if options or box.random.random() < 0.8:
        return Call(partial(read_folder, **options), statuses, (*names, "data"))
    box.write("train.py", (box.base / "train.py").read_bytes())
    flags = ("--data", "data", "--work-dir", "wd", "--out", "r.json")
    return Call(("test", "train.py", "none", *flags), statuses, (*names, "data"), (), ("r.json",))


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@DATASETS.each(["L", "P", "16", "RGB"])
def good(box: Box, kind: str) -> Call:
    row = (
        [(1, 2, 3), (4, 5, 6)] * 2 if kind == "RGB" else (0, 1, 2, 65_535 if kind == "16" else 255)
    )
    classes: object = "sky\nroad\ncar\n"
    if kind == "RGB":
        classes = {"classes": ["sky", "road"], "colors": [[1, 2, 3], [4, 5, 6]]}
    made(box.folder / "data", classes, row=row, kind=kind)
    return Call(read_folder, ACCEPTED)


@DATASETS.each(MODES)
def mode_of_a_label_map(box: Box, mode: str) -> Call:
    made(box.folder / "data")
    content = encoded(image_of(mode, 4, 3, box.random.randrange(99)), "TIFF")
    box.write("data/masks/b.tif", content)
    (box.folder / "data/masks/b.png").unlink()
    return _call(box)


@DATASETS.each([(2, 3), (4, 3), (1, 1), (3, 5), (300, 1)])
def size_of_a_label_map(box: Box, size: tuple[int, int]) -> Call:
    made(box.folder / "data")
    box.write("data/masks/b.png", _png(np.zeros(size, np.uint8)))
    return _call(box, REFUSED, "b.png")


@DATASETS.each([3, 7, 128, 254])
def value_of_a_label_map(box: Box, value: int) -> Call:
    made(box.folder / "data")
    label_map(box.folder / "data/masks/b.png", (0, 1, value, value))
    return _call(box, EITHER, "b.png")


@DATASETS.each(range(10))
def damaged_label_map(box: Box, _: int) -> Call:
    made(box.folder / "data")
    path = box.folder / "data/masks/b.png"
    path.write_bytes(damaged(path.read_bytes(), box.random))
    return _call(box, EITHER, "b.png")


@DATASETS.each(range(4))
def damaged_image(box: Box, _: int) -> Call:
    made(box.folder / "data")
    path = box.folder / "data/images/b.png"
    path.write_bytes(damaged(path.read_bytes(), box.random))
    return _call(box, EITHER, "b.png")


@DATASETS.each(
    [b"", b"\0", b"text", b"<html>", b"version https://git-lfs.github.com/spec/v1\n", b"\x89PNG"]
)
def label_file_that_is_none(box: Box, content: bytes) -> Call:
    made(box.folder / "data")
    box.write("data/masks/b.png", content)
    return _call(box, REFUSED, "b.png")


@DATASETS.each(["images", "masks", "classes.txt", "images/b.png", "masks/b.png"])
def missing(box: Box, name: str) -> Call:
    made(box.folder / "data")
    path = box.folder / "data" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return _call(box, EITHER, name)


@DATASETS.each(["images", "masks", ".", "images/b.png", "masks/b.png", "classes.txt"])
def in_the_wrong_place(box: Box, name: str) -> Call:
    """A folder in the place of a file, and a file in the place of a folder."""
    made(box.folder / "data")
    path = box.folder / "data" / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(b"text")
    else:
        path.unlink()
        path.mkdir()
    return _call(box, EITHER, name)


@DATASETS.each(
    [
        {"split": "val"}, {"split": ""}, {"split": "\n"}, {"split": "../x"}, {"images": "absent"},
        {"images": "classes.txt"}, {"masks": "images"}, {"masks": "absent"},
        {"masks": "classes.txt"}, {"classes": "images"}, {"classes": "absent"}, {"classes": ""},
        {"mask_suffix": "_x.png"}, {"mask_suffix": ""}, {"mask_suffix": "/"}, {"masks": ""},
        {"mask_suffix": "["}, {"images": "a" * 5000}, {"split": "all"}, {"images": ".."},
    ]
)  # fmt: skip
def places(box: Box, options: dict[str, str]) -> Call:
    made(box.folder / "data")
    box.write("train.py", (box.base / "train.py").read_bytes())
    if box.random.random() < 0.6:
        return Call(partial(read_folder, **options), EITHER)
    flags = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", v)]
    command = ("test", "train.py", "none", "--data", "data", "--work-dir", "wd", *flags)
    is_blank = not all(value.strip() for value in options.values())
    return Call(command, ANYTHING if is_blank else EITHER)


@DATASETS.each(["\n", "\x1b[31m", "\udce9", "é", "e\u0301", " ", "{}", "%s", "#"])
def name_of_an_image(box: Box, name: str) -> Call:
    made(box.folder / "data", stems=("a", f"b{name}"))
    return _call(box)


@DATASETS.each(
    [b"a\nb\n", b"a\na\n", b"absent\n", b"", b"\0\n", b"\xff\xfe", b"../a\n", b"a b c\n"]
)
def list_of_a_split(box: Box, content: bytes) -> Call:
    made(box.folder / "data")
    box.write("data/val.txt", content)
    return _call(box, EITHER, split="val")


POLYGON = [[0, 0], [3, 0], [3, 2], [0, 2]]
LABELME = {
    "version": "5",
    "shapes": [
        {"label": "sky", "points": POLYGON, "shape_type": "polygon", "group_id": None},
        {"label": "road", "points": [[0, 0], [2, 2]], "shape_type": "rectangle"},
    ],
    "imagePath": "a.png",
    "imageHeight": 3,
    "imageWidth": 4,
}
COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "height": 3, "width": 4},
        {"id": 2, "file_name": "b.png", "height": 3, "width": 4},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 2]]},
        {"id": 2, "image_id": 2, "category_id": 2, "iscrowd": 0, "area": 6,
         "segmentation": {"size": [3, 4], "counts": [0, 6, 6]}},
        {"id": 3, "image_id": 2, "category_id": 1,
         "segmentation": {"size": [3, 4], "counts": "06"}},
    ],
    "categories": [{"id": 1, "name": "sky"}, {"id": 2, "name": "road", "supercategory": "none"}],
}  # fmt: skip
CITYSCAPES = {
    "imgHeight": 3,
    "imgWidth": 4,
    "objects": [{"label": "sky", "polygon": POLYGON}, {"label": "road", "polygon": POLYGON[:3]}],
}
SUPERVISELY = {
    "size": {"height": 3, "width": 4},
    "objects": [
        {"classTitle": "sky", "geometryType": "polygon",
         "points": {"exterior": POLYGON, "interior": []}},
        {"classTitle": "road", "geometryType": "bitmap",
         "bitmap": {"data": base64.b64encode(b"zlib").decode(), "origin": [0, 0]}},
    ],
}  # fmt: skip
META = {"classes": [{"title": "sky", "color": "#010203"}, {"title": "road", "color": "#040506"}]}


def _annotated(box: Box, kind: str, text: str, meta: str = "") -> None:
    """A folder whose labels are annotation files with a text."""
    made(box.folder / "data", None)
    shutil.rmtree(box.folder / "data/masks")
    if kind == "coco":
        box.write("data/annotations.json", text)
        return
    folder = "ann" if kind == "supervisely" else "labels"
    for stem in ("a.png", "b.png") if kind == "supervisely" else ("a", "b"):
        box.write(f"data/{folder}/{stem}.json", text)
    if kind == "supervisely":
        (box.folder / "data/images").rename(box.folder / "data/img")
        box.write("data/meta.json", meta or as_json(META))


ANNOTATIONS: dict[str, dict[str, Any]] = {
    "coco": COCO,
    "labelme": LABELME,
    "cityscapes": CITYSCAPES,
    "supervisely": SUPERVISELY,
}


@DATASETS.each(range(64))
def annotations(box: Box, number: int) -> Call:
    kind = list(ANNOTATIONS)[number % 4]
    content = ANNOTATIONS[kind]
    place = box.random.choice(list(places_of(content)))
    how = box.random.randrange(4)
    if how == 0 and place:
        text = as_json(without(content, place))
    elif how == 1:
        text = damaged(as_json(content).encode(), box.random).decode("latin-1")
    else:
        text = as_json(with_value(content, place, box.random.choice(VALUES)))
    _annotated(box, kind, text)
    return _call(box)


@DATASETS.each(range(4))
def meta_of_supervisely(box: Box, _: int) -> Call:
    place = box.random.choice(list(places_of(META)))
    text = as_json(with_value(META, place, box.random.choice(VALUES)))
    _annotated(box, "supervisely", as_json(SUPERVISELY), text)
    return _call(box)
