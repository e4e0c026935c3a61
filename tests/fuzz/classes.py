"""Class files of a user's dataset, read by `ovss test --data`."""

from __future__ import annotations

import shutil
from functools import partial

from .cases import EITHER, Box, Call, Group
from .odd import VALUES, as_json, damaged, nested, places_of, with_value, without

CLASSES = Group("classes")

CONTENT = {
    "classes": ["sky", "road", "car"],
    "ids": [0, 1, 2],
    "ignored": [255],
    "colors": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "seen": ["sky"],
    "mask_suffix": ".png",
    "words": ["sky", "road", "car", "automobile"],
    "word_class": [0, 1, 2, 2],
}
TABLE = "id,name,color,seen\n0,sky,#010203,yes\n1,road,#040506,no\n2,car,#070809,no\n"


def read_folder(folder: str = "data", **options: str) -> None:
    """Reads a dataset as `ovss test --data` does, with the labels of every image."""
    from ovss.data.folder import describe_folder

    described = describe_folder(folder, **options)
    str(described)
    dataset = described.build()
    for index in range(len(dataset)):
        dataset.load(index)


def _call(box: Box, name: str, content: bytes) -> Call:
    shutil.copytree(box.base / "data", box.folder / "data")
    (box.folder / "data/classes.txt").unlink()
    box.write(f"data/{name}", content)
    if box.random.random() < 0.8:
        return Call(partial(read_folder, classes=name), EITHER, (name, "data"))
    box.write("train.py", (box.base / "train.py").read_bytes())
    flags = ("--data", "data", "--classes", name, "--work-dir", "wd", "--out", "r.json")
    return Call(("test", "train.py", "none", *flags), EITHER, (name, "data"), absent=("r.json",))


@CLASSES.each(
    [
        b"", b"\0", b"sky\0\nroad\ncar\n", b"\xff\xfe\xfd", b"caf\xe9\nroad\ncar\n", b"sky\nsky\n",
        "sky\nroad\ncar\n".encode("utf-16"), b"{", b"[]", b"{}", b"null", b"3", b'"sky"', b"[[]]",
        nested(50_000).encode(), b"sky\n" * 70_000, b"\x89PNG\r\n\x1a\n" + bytes(99), b"a|b\n|\n",
        b"0 sky\n1 road\n1 car\n", b"0: sky\n1: road\nx: car\n", b"-1 sky\n70000 road\n",
        b"99999999999999999999 sky\n", b"\x1b[2J\nroad\ncar\n", b"sky\t#zzzzzz\n",
        b"item:\n  id: 1\n",
    ]
)  # fmt: skip
def odd_content(box: Box, content: bytes) -> Call:
    return _call(box, box.random.choice(("own.txt", "own.json", "own.csv")), content)


@CLASSES.each([*CONTENT])
def another_value(box: Box, key: str) -> Call:
    value = box.random.choice(VALUES)
    return _call(box, "own.json", as_json({**CONTENT, key: value}).encode())


@CLASSES.each(range(30))
def another_value_inside(box: Box, _: int) -> Call:
    place = box.random.choice(list(places_of(CONTENT))[1:])
    changed = with_value(CONTENT, place, box.random.choice(VALUES))
    return _call(box, "own.json", as_json(changed).encode())


@CLASSES.each(range(8))
def without_a_value(box: Box, _: int) -> Call:
    place = box.random.choice(list(places_of(CONTENT))[1:])
    return _call(box, "own.json", as_json(without(CONTENT, place)).encode())


@CLASSES.each(range(8))
def damaged_table(box: Box, _: int) -> Call:
    return _call(box, "own.csv", damaged(TABLE.encode(), box.random))


@CLASSES.each(range(4))
def damaged_json(box: Box, _: int) -> Call:
    return _call(box, "own.json", damaged(as_json(CONTENT).encode(), box.random))
