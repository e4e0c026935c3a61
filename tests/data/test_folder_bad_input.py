"""Tests of errors about a dataset folder: raised before anything runs, with file and remedy."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from made_folder import label_map, made, save_image
from PIL import Image

from ovss.data.folder import describe_folder
from ovss.data.splits import LayoutError
from ovss.io.advice import advice_of
from ovss.io.images import ImageError

NAMES = ["sky", "road", "car"]


def message(error: type[Exception] | tuple, root, **options) -> str:
    with pytest.raises(error) as caught:
        describe_folder(root, **options)
    return str(caught.value)


def advice_about(error: type[Exception], root, **options) -> tuple[str, ...]:
    """Topics that the command turns into flags."""
    with pytest.raises(error) as caught:
        describe_folder(root, **options)
    return advice_of(caught.value).topics


# -- folders -------------------------------------------------------------------------------------


def test_a_folder_that_does_not_exist(tmp_path):
    assert f"found nothing at {tmp_path / 'none'}" in message(FileNotFoundError, tmp_path / "none")
    (tmp_path / "file").touch()
    assert "found a file at" in message(FileNotFoundError, tmp_path / "file")


def test_no_folder_of_images(tmp_path):
    (tmp_path / "stuff").mkdir()
    text = message(LayoutError, tmp_path)
    assert "no folder of images" in text
    assert "stuff" in text
    assert advice_about(LayoutError, tmp_path) == ("images",)


def test_split_folders_that_contain_images_and_label_maps(tmp_path):
    for split in ("train", "val"):
        made(tmp_path / split, classes=None)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar")
    assert f"Give {tmp_path / 'train'} as the dataset" in message(LayoutError, tmp_path)
    found = describe_folder(tmp_path / "val", classes=tmp_path / "classes.txt")
    assert found.count == 2


def test_an_empty_folder_of_images(tmp_path):
    made(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert re.search(r"no folder of images \(images: no .*\)", message(LayoutError, tmp_path))
    text = message(FileNotFoundError, tmp_path, images="images")
    assert "Found no images" in text
    assert str(tmp_path / "images") in text


def test_two_folders_fit(tmp_path):
    made(tmp_path)
    label_map(tmp_path / "labels/a.png")
    assert "several folders of masks: labels, masks" in message(LayoutError, tmp_path)
    assert advice_about(LayoutError, tmp_path) == ("masks",)


def test_class_files(tmp_path):
    made(tmp_path, classes=None)
    assert "classes.txt" in message(LayoutError, tmp_path)
    (tmp_path / "classes.txt").write_text("sky")
    (tmp_path / "classes_new.txt").write_text("sky")
    text = message(LayoutError, tmp_path)
    assert "several class files: classes.txt, classes_new.txt" in text
    assert advice_about(LayoutError, tmp_path) == ("classes",)
    text = message(FileNotFoundError, tmp_path, classes="c.txt")
    assert f"Class file {tmp_path / 'c.txt'} does not exist" in text


def test_splits(tmp_path):
    made(tmp_path, stems=("train/a", "val/b"))
    assert "train (folder), val (folder). Choose one" in message(LayoutError, tmp_path)
    assert advice_about(LayoutError, tmp_path) == ("split", "every_split")
    assert "no split 'test', found train" in message(LayoutError, tmp_path, split="test")
    assert "found no splits" in message(LayoutError, made(tmp_path / "x"), split="val")


def test_a_split_without_label_maps(tmp_path):
    made(tmp_path, stems=("train/a", "val/b"))
    (tmp_path / "masks/val").rename(tmp_path / "masks/test")
    text = message(LayoutError, tmp_path, split="val")
    assert advice_about(LayoutError, tmp_path, split="val") == ("images", "masks")
    assert f"a folder 'val' in {tmp_path / 'masks'}" in text
    assert "found test, train" in text


def test_two_splits_fit(tmp_path):
    made(tmp_path, stems=("val2014/a", "val2017/b"))
    assert "may be val2014 (folder), val2017" in message(LayoutError, tmp_path, split="val")


def test_an_incomplete_dataset(tmp_path):
    assert "is incomplete" in message(LayoutError, made(tmp_path / "set.partial"))


# -- pairs ---------------------------------------------------------------------------------------


def test_missing_label_maps_are_counted_and_named(tmp_path):
    made(tmp_path, stems="abcdef")
    for stem in "bcdef"[:4]:
        (tmp_path / f"masks/{stem}.png").unlink()
    text = message(FileNotFoundError, tmp_path)
    assert "4 of 6 images" in text
    assert all(str(tmp_path / f"masks/{stem}.png") in text for stem in "bcd")
    assert "e.png" not in text


def test_label_maps_of_other_names(tmp_path):
    made(tmp_path, stems=("a",))
    (tmp_path / "masks/a.png").rename(tmp_path / "masks/x.png")
    text = message(FileNotFoundError, tmp_path)
    assert f"such as a.png in {tmp_path / 'masks'}, found files such as x.png" in text


def test_a_listed_image_that_does_not_exist(tmp_path):
    made(tmp_path)
    (tmp_path / "val.txt").write_text("a\nz\n")
    text = message(FileNotFoundError, tmp_path, split="val")
    assert f"1 of 2 images that {tmp_path / 'val.txt'} lists" in text
    assert text.endswith("z")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\n", "lists no images"), (b"\xe9\n", "not UTF-8 text")]
)
def test_malformed_lists(tmp_path, content, reason):
    (made(tmp_path) / "val.txt").write_bytes(content)
    text = message((FileNotFoundError, ValueError), tmp_path)
    assert str(tmp_path / "val.txt") in text
    assert reason in text


def test_duplicate_names(tmp_path):
    made(tmp_path)
    save_image(tmp_path / "images/a.jpg")
    text = message(ValueError, tmp_path)
    assert "images/a.jpg" in text
    assert "images/a.png" in text
    assert "same name" in text


def test_two_suffixes_fit(tmp_path):
    made(tmp_path)
    for stem in "ab":
        label_map(tmp_path / f"masks/{stem}_color.png")
    text = message(LayoutError, tmp_path)
    assert ".png, _color.png" in text
    assert '{"mask_suffix": "_color.png"}' in text


def test_sizes_are_compared_for_all(tmp_path):
    made(tmp_path, stems=[f"{i:02}" for i in range(40)])
    label_map(tmp_path / "masks/17.png", height=5)
    text = message(ValueError, tmp_path)
    assert "1 of 40" in text
    assert "17.png has 4 x 3" in text
    assert "differ in size from their images" in text
    assert "4 x 5" in text


# -- label maps ----------------------------------------------------------------------------------


def test_values_outside_the_class_file(tmp_path):
    text = message(ValueError, made(tmp_path, row=(0, 7, 7, 1)))
    assert "masks/a.png holds 7 (6 pixels), outside the vocabulary of 3" in text
    assert "`ignored`" in text


def test_colours_outside_the_palette(tmp_path):
    palette = {"sky": [1, 2, 3], "road": [4, 5, 6], "car": [7, 8, 9]}
    row = ((1, 2, 3), (0, 0, 0), (9, 9, 9), (4, 5, 6))
    classes = {"classes": NAMES, "palette": palette}
    text = message(ValueError, made(tmp_path, classes, row=row, kind="RGB"))
    assert "masks/a.png" in text
    assert "[0, 0, 0] (3 pixels), [9, 9, 9] (3 pixels)" in text


def test_colours_without_a_palette(tmp_path):
    made(tmp_path, row=((1, 2, 3),) * 4, kind="RGB")
    text = message(LayoutError, tmp_path)
    assert "in colour" in text
    assert "palette.json" in text


def test_colours_mixed_with_indices(tmp_path):
    made(tmp_path)
    label_map(tmp_path / "masks/b.png", ((1, 2, 3),) * 4, "RGB")
    assert "1 of 2 label maps are in colour" in message(LayoutError, tmp_path)


def test_8_bits_where_16_are_needed(tmp_path):
    made(tmp_path, [f"thing {i}" for i in range(300)])
    text = message(ImageError, tmp_path)
    assert "masks/a.png" in text
    assert "8 bits" in text
    assert "299" in text


def test_jpeg_label_maps(tmp_path):
    made(tmp_path)
    for stem in "ab":
        path = tmp_path / f"masks/{stem}.png"
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    for options in ({}, {"masks": "masks"}):
        text = message(LayoutError, tmp_path, **options)
        assert "found" in text
        assert "JPEG and WebP change label values" in text
        assert "Export the label maps as PNG" in text
    text = message(ImageError, tmp_path, masks="masks", mask_suffix=".jpg")
    assert "a.jpg" in text
    assert "lossless" in text


def test_a_damaged_label_map(tmp_path):
    made(tmp_path)
    (tmp_path / "masks/b.png").write_bytes(b"\x89PNG")
    assert "masks/b.png: cannot be read" in message(ImageError, tmp_path)


def test_masks_of_0_and_255_with_two_classes(tmp_path):
    made(tmp_path, "ground\nthing", row=(0, 255, 0, 255))
    text = message(LayoutError, tmp_path)
    remedies = re.findall(r"\{.*?\}(?=[;\s]|$)", text)
    assert len(remedies) == 2
    (tmp_path / "classes.txt").unlink()
    for remedy, row in zip(remedies, ([0, 1, 0, 1], [0, -1, 0, -1]), strict=True):
        (tmp_path / "classes.json").write_text(remedy)
        assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == row


def test_transparent_label_maps(tmp_path):
    made(tmp_path, {"classes": ["sky"], "palette": [[1, 2, 3]]}, stems=("a",))
    pixels = np.full((3, 4, 4), (1, 2, 3, 128), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "masks/a.png")
    assert "transparent" in message(ImageError, tmp_path)


# -- class files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "has no names"),
        ("# nothing\n", "has no names"),
        ("sky\n\ncar", "line 2"),
        ("sky\nroad\nSky ", r"twice: 'sky' \(line 1, line 3\)"),
        ("0 sky\n1 road", "begins with a number"),
        ("sky [seen]\nroad [unseen]\ncar", "'car' has no mark"),
        ("sofa, couch\ncouch, bench [unseen]", r"'couch' belongs to 'sofa, couch' \(seen\)"),
        ([], "has no names"),
        (["sky", "sky"], r"twice: 'sky' \(class 0, class 1\)"),
        (["sky", 3], "must be a string"),
        ({"info": "x", "images": []}, "no list of classes"),
        ([{"name": "a", "index": 1}, {"name": "b", "index": 1}], "value 1 to 'a' and 'b'"),
        ([{"synonyms": ["a"]}], "expected a 'name'"),
        ({"classes": NAMES, "seen": ["boat"]}, "Unknown class 'boat' in seen"),
        ({"classes": NAMES, "unseen": ["rod"]}, "Did you mean 'road'"),
        ({"classes": NAMES, "seen": NAMES, "unseen": ["sky"]}, "'sky' is marked both seen and"),
        ({"classes": ["cat, pet", "dog, pet"], "seen": ["pet"]}, "Ambiguous class 'pet' in seen"),
        ({"classes": NAMES, "ignored": ["x"]}, "must be integers"),
        ({"classes": NAMES, "words": ["a"]}, "1 words for 3 classes"),
        ({"classes": NAMES, "words": {"boat": "ship"}}, "Unknown class 'boat' in words"),
        ({"classes": NAMES, "palette": [[0, 0, 0]]}, "1 colours for 3 classes"),
        ({"classes": NAMES, "palette": {"sky": [0, 0, 0]}}, "no colour for 'road'"),
        ({"classes": NAMES, "palette": [[0, 0, 0], [0, 0, 300], [1, 1, 1]]}, "colour must be"),
        ({"classes": NAMES, "palette": [[0, 0, 0], [1, 1, 1], [0, 0, 0]]}, "share the colour"),
        ({"classes": NAMES, "words": NAMES, "word_class": [0, 1, 1]}, "each class a word"),
        ({"classes": NAMES, "words": NAMES, "word_class": 1}, "'word_class' must be a list .* 1"),
        ({"classes": NAMES, "words": 5}, "'words' must be a list"),
        ({"classes": NAMES, "words": {"sky": 5}}, "'words of a class' must be a list"),
        ({"classes": NAMES, "seen": "road"}, "'seen' must be a list .* got 'road'"),
        ({"classes": NAMES, "palette": 5}, "'palette' must be a list"),
        ({"classes": NAMES, "ignored": 70000}, "in -32768..65535, got 70000"),
        ({"classes": NAMES, "mask_suffix": "../x.png"}, "mask_suffix must be"),
        ({"0": "sky", "70000": "road"}, r"must be in 0\.\.65535, got label value 70000"),
        ({"sky": -1, "road": 0}, "label value -1"),
        ([{"name": "sky", "seen": 1}, "road"], "class 0: .*'seen' that is true or false"),
        ([{"name": "sky", "synonyms": [1]}, "road"], "class 0: .*'synonyms' that are strings"),
    ],
)
def test_malformed_class_files(tmp_path, content, reason):
    with pytest.raises((ValueError, TypeError), match=reason) as caught:
        describe_folder(made(tmp_path, content))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"[", "is truncated or not JSON"), (b"\xff\xfe", "not UTF-8 text")]
)
def test_class_files_that_cannot_be_read(tmp_path, raw, reason):
    made(tmp_path, classes=None)
    (tmp_path / "classes.json").write_bytes(raw)
    assert reason in message(ValueError, tmp_path)


def test_a_palette_that_cannot_be_read(tmp_path):
    made(tmp_path)
    (tmp_path / "palette.json").write_text("{")
    assert "palette.json is truncated or not JSON" in message(ValueError, tmp_path)
    (tmp_path / "palette.json").write_text(json.dumps({"sky": "blue"}))
    assert "palette.json" in message(ValueError, tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("classes.txt", "sky [unsen]\nroad\ncar\n", "Did you mean [unseen]?"),
        ("classes.txt", "sky\nroad [ seen ]\ncar\n", "line 2: unknown mark [ seen ]"),
        (
            "classes.json",
            '{"0": "sky", "1": "road", "1": "car"}',
            "key '1' twice: 'road' and 'car'",
        ),
        ("classes.json", '{"classes": ["sky", "road", "car"], "unsen": ["car"]}', "mean 'unseen'"),
        ("classes.json", '[{"name": "sky"}, {"name": "road", "synonym": "way"}]', "'synonyms'"),
    ],
)
def test_misspelt_keys_and_marks_are_errors(tmp_path, file, text, reason):
    made(tmp_path, classes=None)
    (tmp_path / file).write_text(text)
    assert reason in message(ValueError, tmp_path)


def test_unrelated_keys_and_brackets_are_ignored(tmp_path):
    made(tmp_path, classes=None)
    record = {"classes": ["sky", "road [paved]", {"name": "car", "supercategory": "thing"}]}
    (tmp_path / "classes.json").write_text(json.dumps({**record, "name": "mine", "id": 1}))
    assert describe_folder(tmp_path).names == ("sky", "road [paved]", "car")
