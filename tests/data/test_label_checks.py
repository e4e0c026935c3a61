"""Tests of label values that fit a class file by accident; all advice is followed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_folder import made, save_image
from PIL import Image

from ovss.data.folder import describe_folder
from ovss.data.labels import LabelMapper
from ovss.data.splits import LayoutError


def message(root: Path, error: type[Exception] = LayoutError) -> str:
    with pytest.raises(error) as caught:
        describe_folder(root)
    return str(caught.value)


def remedies(text: str) -> list[str]:
    """JSON objects in a message, braces balanced."""
    found, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        if letter == "{":
            start, depth = (i, 1) if depth == 0 else (start, depth + 1)
        elif letter == "}":
            depth -= 1
            if depth == 0:
                found.append(text[start : i + 1])
    return found


def rows_after(root: Path, remedy: str, file: Path | None = None) -> list[int]:
    """Labels after the remedy is written as the class file, or into a file of its own."""
    if file is None:
        (root / "classes.txt").unlink(missing_ok=True)
        file = root / "classes.json"
    file.write_text(remedy)
    labels = describe_folder(root).build().load(0).labels[0].tolist()
    file.unlink()
    return labels


@pytest.mark.parametrize("high", [255, 1])
def test_binary_masks_of_one_class(tmp_path, high):
    made(tmp_path, "road\n", row=(0, high, high, 0))
    text = message(tmp_path)
    assert f"hold only 0 and {high}" in text
    found = remedies(text)
    expected = [[0, 1, 1, 0], [-1, 0, 0, -1], [0, -1, -1, 0]]
    assert [rows_after(tmp_path, remedy) for remedy in found] == expected


def test_binary_masks_of_the_background_alone(tmp_path):
    made(tmp_path, "background\n", row=(0, 255, 0, 0))
    (remedy,) = remedies(message(tmp_path))
    assert rows_after(tmp_path, remedy) == [0, 1, 0, 0]


def test_binary_masks_of_three_classes(tmp_path):
    made(tmp_path, "sky\nroad\ncar\n", row=(0, 255, 255, 0))
    text = message(tmp_path)
    assert "has 3 classes" in text
    whole, ignored = remedies(text)
    file = Path(re.search(r"into (\S+)$", text)[1])
    assert rows_after(tmp_path, ignored, file) == [0, -1, -1, 0]
    assert rows_after(tmp_path, whole) == [0, 1, 1, 0]


def test_a_class_file_that_states_the_meaning_is_enough(tmp_path):
    for i, classes in enumerate(({"0": "a", "255": "b"}, {"classes": ["a"], "ignored": [255]})):
        assert describe_folder(made(tmp_path / str(i), classes, row=(0, 255, 255, 0))).count == 2


@pytest.mark.parametrize("row", [(0, 1, 3, 255), (1, 2, 3, 1)])
def test_values_that_begin_with_1(tmp_path, row):
    made(tmp_path, "sky\nroad\ncar\n", row=row)
    text = message(tmp_path)
    assert "which have the values 0 to 2" in text
    reduced, ignored = remedies(text)
    file = Path(re.search(r"into (\S+);", text)[1])
    labels = [-1 if value in (0, 255) else value - 1 for value in row]
    assert rows_after(tmp_path, reduced, file) == labels
    labels = [-1 if value in (3, 255) else value for value in row]
    assert rows_after(tmp_path, ignored, file) == labels


def test_advice_about_other_values_names_the_file_that_states_the_ignored_ones(tmp_path):
    made(tmp_path, {"classes": ["a", "b"], "ignored": [9]}, row=(0, 1, 9, 7))
    text = message(tmp_path, ValueError)
    assert text.endswith('write {"ignored": [9, 7]} into ' + str(tmp_path / "classes.json"))
    made(tmp_path / "t", "a\nb\n", row=(0, 1, 9, 7))
    text = message(tmp_path / "t", ValueError)
    (remedy,) = remedies(text)
    assert rows_after(tmp_path / "t", remedy, Path(text.split(" into ")[1])) == [0, 1, -1, -1]


def test_advice_overrides_what_a_table_implies(tmp_path):
    made(tmp_path, None, row=(0, 1, 2, 9))
    table = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0\t0\t0\t1\ta\n2\t0\t0\t0\t1\tb\n"
    (tmp_path / "objectInfo2.txt").write_text(table)
    text = message(tmp_path, ValueError)
    (remedy,) = remedies(text)
    assert rows_after(tmp_path, remedy, Path(text.split(" into ")[1])) == [-1, 0, 1, -1]


def test_images_in_place_of_label_maps(tmp_path):
    save_image(tmp_path / "images/a.png", (16, 16))
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "masks/a.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    assert "resized with interpolation" in message(tmp_path, ValueError)


@pytest.mark.parametrize(
    ("classes", "row", "note"),
    [
        ("sky\nroad\n", (1, 1, 1, 255), "every labelled pixel .* is 'road', so check"),
        ("sky\n", (0, 0, 0, 0), "is 'sky', so every model scores 100"),
        ("sky\nroad\n", (255, 255, 255, 255), "no pixel .* is labelled"),
        ("a\nb\nc\nd\ne\n", (0, 1, 1, 255), "only 2 of 5 classes occur .*: 'a', 'b'"),
        ("sky\nroad\ncar\n", (0, 1, 1, 2), None),
    ],
)
def test_warnings(tmp_path, classes, row, note):
    described = describe_folder(made(tmp_path, classes, row=row))
    if note is None:
        assert described.notes == ()
    else:
        assert re.search(f"warning: .*{note}", str(described))


@pytest.mark.parametrize(
    ("dtype", "row", "expected"),
    [
        (np.int16, (-1, 0, 1, 1), [-1, 0, 1, 1]),
        (np.uint8, (255, 0, 1, 1), [-1, 0, 1, 1]),
        (np.uint16, (65535, 0, 1, 1), [-1, 0, 1, 1]),
        (np.int64, (-1, 0, 1, 1), [-1, 0, 1, 1]),
    ],
)
def test_ignored_minus_1_in_every_type(tmp_path, dtype, row, expected):
    made(tmp_path, {"classes": ["a", "b"], "ignored": [-1]}, stems=("a",))
    (tmp_path / "masks/a.png").unlink()
    np.save(tmp_path / "masks/a.npy", np.array([row] * 3, dtype))
    assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == expected


def test_minus_1_does_not_hide_a_class_of_the_largest_value():
    mapper = LabelMapper(256, ignored=(-1,))
    assert mapper(np.array([[255]], np.uint8), "a").tolist() == [[255]]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_tiff_with_32_bits(tmp_path, dtype):
    made(tmp_path, json.loads('{"classes": ["a", "b"], "ignored": [70]}'), stems=("a",))
    (tmp_path / "masks/a.png").unlink()
    values = np.array([[0, 1, 70, 1]] * 3, np.int32)
    Image.fromarray(values).save(tmp_path / "masks/a.tif")
    if dtype is np.uint32:  # sample format 1
        Image.fromarray(values).save(tmp_path / "masks/a.tif", tiffinfo={339: 1})
    assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == [0, 1, -1, 1]
