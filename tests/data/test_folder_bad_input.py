"""What is wrong with a folder is said before anything runs, with the file and the mend."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from made_folder import label_map, made, picture
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


def test_no_such_folder(tmp_path):
    assert f"{tmp_path / 'none'}: no such folder" in message(FileNotFoundError, tmp_path / "none")
    (tmp_path / "file").touch()
    assert "a file, not a folder" in message(FileNotFoundError, tmp_path / "file")


def test_nothing_that_looks_like_pictures(tmp_path):
    (tmp_path / "stuff").mkdir()
    text = message(LayoutError, tmp_path)
    assert "no folder of images" in text
    assert "stuff" in text
    assert advice_about(LayoutError, tmp_path) == ("images",)


def test_splits_that_lie_above_pictures_and_label_maps(tmp_path):
    for split in ("train", "val"):
        made(tmp_path / split, classes=None)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar")
    assert f"Give {tmp_path / 'train'} as the dataset" in message(LayoutError, tmp_path)
    found = describe_folder(tmp_path / "val", classes=tmp_path / "classes.txt")
    assert found.count == 2


def test_a_folder_of_pictures_without_any(tmp_path):
    made(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert re.search(
        r"no folder of images \(images: no .*in there\)", message(LayoutError, tmp_path)
    )
    text = message(FileNotFoundError, tmp_path, images="images")
    assert "no pictures" in text
    assert str(tmp_path / "images") in text


def test_two_folders_fit(tmp_path):
    made(tmp_path)
    label_map(tmp_path / "labels/a.png")
    assert "may be the masks: labels, masks" in message(LayoutError, tmp_path)
    assert advice_about(LayoutError, tmp_path) == ("masks",)


def test_class_files(tmp_path):
    made(tmp_path, classes=None)
    assert "classes.txt" in message(LayoutError, tmp_path)
    (tmp_path / "classes.txt").write_text("sky")
    (tmp_path / "classes_new.txt").write_text("sky")
    text = message(LayoutError, tmp_path)
    assert "several class files: classes.txt, classes_new.txt" in text
    assert advice_about(LayoutError, tmp_path) == ("classes",)
    assert "no such class file" in message(FileNotFoundError, tmp_path, classes="c.txt")


def test_splits(tmp_path):
    made(tmp_path, stems=("train/a", "val/b"))
    assert "train (folder), val (folder). Choose one" in message(LayoutError, tmp_path)
    assert advice_about(LayoutError, tmp_path) == ("split", "every_split")
    assert "no split 'test': there is train" in message(LayoutError, tmp_path, split="test")
    assert "no split at all" in message(LayoutError, made(tmp_path / "x"), split="val")


def test_a_split_that_label_maps_lack(tmp_path):
    made(tmp_path, stems=("train/a", "val/b"))
    (tmp_path / "masks/val").rename(tmp_path / "masks/test")
    text = message(LayoutError, tmp_path, split="val")
    assert "test, train and no 'val'" in text
    assert advice_about(LayoutError, tmp_path, split="val") == ("images", "masks")


def test_two_splits_fit(tmp_path):
    made(tmp_path, stems=("val2014/a", "val2017/b"))
    assert "may be val2014 (folder), val2017" in message(LayoutError, tmp_path, split="val")


def test_a_set_that_is_half_made(tmp_path):
    assert "half made" in message(LayoutError, made(tmp_path / "set.partial"))


# -- pairs ---------------------------------------------------------------------------------------


def test_missing_label_maps_are_counted_and_named(tmp_path):
    made(tmp_path, stems="abcdef")
    for stem in "bcdef"[:4]:
        (tmp_path / f"masks/{stem}.png").unlink()
    text = message(FileNotFoundError, tmp_path)
    assert "4 of 6 pictures" in text
    assert all(str(tmp_path / f"masks/{stem}.png") in text for stem in "bcd")
    assert "e.png" not in text


def test_label_maps_of_other_names(tmp_path):
    made(tmp_path, stems=("a",))
    (tmp_path / "masks/a.png").rename(tmp_path / "masks/x.png")
    text = message(FileNotFoundError, tmp_path)
    assert "such as a.png, found such as x.png" in text


def test_a_listed_picture_that_is_not_there(tmp_path):
    made(tmp_path)
    (tmp_path / "val.txt").write_text("a\nz\n")
    text = message(FileNotFoundError, tmp_path, split="val")
    assert "val.txt lists 1 of 2 pictures" in text
    assert text.endswith("z")


@pytest.mark.parametrize(
    ("listed", "said"), [(b"\n", "lists no pictures"), (b"\xe9\n", "no UTF-8 text")]
)
def test_lists_that_cannot_be(tmp_path, listed, said):
    (made(tmp_path) / "val.txt").write_bytes(listed)
    assert f"{tmp_path / 'val.txt'}" in message((FileNotFoundError, ValueError), tmp_path)
    assert said in message((FileNotFoundError, ValueError), tmp_path)


def test_duplicate_names(tmp_path):
    made(tmp_path)
    picture(tmp_path / "images/a.jpg")
    text = message(ValueError, tmp_path)
    assert "images/a.jpg" in text
    assert "images/a.png" in text
    assert "same name" in text


def test_two_endings_fit(tmp_path):
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


def test_colours_beside_indices(tmp_path):
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
    assert "no folder of masks (masks: no" in message(LayoutError, tmp_path)
    text = message(ImageError, tmp_path, masks="masks", mask_suffix=".jpg")
    assert "a.jpg" in text
    assert "without loss" in text


def test_a_damaged_label_map(tmp_path):
    made(tmp_path)
    (tmp_path / "masks/b.png").write_bytes(b"\x89PNG")
    assert "masks/b.png: cannot be read" in message(ImageError, tmp_path)


def test_masks_of_0_and_255_with_two_classes(tmp_path):
    made(tmp_path, "ground\nthing", row=(0, 255, 0, 255))
    text = message(LayoutError, tmp_path)
    mends = re.findall(r"\{.*?\}(?=[;\s]|$)", text)
    assert len(mends) == 2
    (tmp_path / "classes.txt").unlink()
    for mend, row in zip(mends, ([0, 1, 0, 1], [0, -1, 0, -1]), strict=True):
        (tmp_path / "classes.json").write_text(mend)
        assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == row


def test_transparent_label_maps(tmp_path):
    made(tmp_path, {"classes": ["sky"], "palette": [[1, 2, 3]]}, stems=("a",))
    pixels = np.full((3, 4, 4), (1, 2, 3, 128), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "masks/a.png")
    assert "transparent" in message(ImageError, tmp_path)


# -- class files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no names"),
        ("# nothing\n", "has no names"),
        ("sky\n\ncar", "line 2"),
        ("sky\nroad\nSky ", r"twice: 'sky' \(line 1, line 3\)"),
        ("0 sky\n1 road", "begins with a number"),
        ("sky [seen]\nroad [unseen]\ncar", "no mark for 'car'"),
        ("sofa, couch\ncouch, bench [unseen]", "'couch' belongs to 'sofa, couch'"),
        ([], "has no names"),
        (["sky", "sky"], r"twice: 'sky' \(class 0, class 1\)"),
        (["sky", 3], "must be a string"),
        ({"info": "x", "images": []}, "no list of classes"),
        ([{"name": "a", "index": 1}, {"name": "b", "index": 1}], "value 1 to 'a' and 'b'"),
        ([{"synonyms": ["a"]}], "expected a 'name'"),
        ({"classes": NAMES, "seen": ["boat"]}, "seen names 'boat', which is no class"),
        ({"classes": NAMES, "unseen": ["rod"]}, "did you mean 'road'"),
        ({"classes": NAMES, "seen": NAMES, "unseen": ["sky"]}, "'sky' both seen and unseen"),
        ({"classes": NAMES, "ignored": ["x"]}, "must be integers"),
        ({"classes": NAMES, "words": ["a"]}, "1 words beside 3 classes"),
        ({"classes": NAMES, "words": {"boat": "ship"}}, "words names 'boat'"),
        ({"classes": NAMES, "palette": [[0, 0, 0]]}, "1 colours for 3 classes"),
        ({"classes": NAMES, "palette": {"sky": [0, 0, 0]}}, "no colour for 'road'"),
        ({"classes": NAMES, "palette": [[0, 0, 0], [0, 0, 300], [1, 1, 1]]}, "is no colour"),
        ({"classes": NAMES, "palette": [[0, 0, 0], [1, 1, 1], [0, 0, 0]]}, "share the colour"),
        ({"classes": NAMES, "words": NAMES, "word_class": [0, 1, 1]}, "each class a word"),
        ({"classes": NAMES, "words": NAMES, "word_class": 1}, "'word_class' must be a list, got 1"),
        ({"classes": NAMES, "words": 5}, "'words' must be a list"),
        ({"classes": NAMES, "words": {"sky": 5}}, "'words of a class' must be a list"),
        ({"classes": NAMES, "seen": "road"}, "'seen' must be a list, got 'road'"),
        ({"classes": NAMES, "palette": 5}, "'palette' must be a list"),
        ({"classes": NAMES, "ignored": 70000}, "up to 65535, got 70000"),
        ({"classes": NAMES, "mask_suffix": "../x.png"}, "mask_suffix must be"),
        ({"0": "sky", "70000": "road"}, "label value 70000: label maps hold 0..65535"),
        ({"sky": -1, "road": 0}, "label value -1"),
        ([{"name": "sky", "seen": 1}, "road"], "class 0: .*'seen' that is true or false"),
        ([{"name": "sky", "synonyms": [1]}, "road"], "class 0: .*'synonyms' that are strings"),
    ],
)
def test_class_files_that_cannot_be(tmp_path, content, said):
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        describe_folder(made(tmp_path, content))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("raw", "said"), [(b"[", "no JSON"), (b"\xff\xfe", "no UTF-8")])
def test_class_files_that_cannot_be_read(tmp_path, raw, said):
    made(tmp_path, classes=None)
    (tmp_path / "classes.json").write_bytes(raw)
    assert said in message(ValueError, tmp_path)


def test_a_palette_that_cannot_be_read(tmp_path):
    made(tmp_path)
    (tmp_path / "palette.json").write_text("{")
    assert "palette.json is no JSON" in message(ValueError, tmp_path)
    (tmp_path / "palette.json").write_text(json.dumps({"sky": "blue"}))
    assert "palette.json" in message(ValueError, tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("classes.txt", "sky [unsen]\nroad\ncar\n", "did you mean [unseen]?"),
        ("classes.txt", "sky\nroad [ seen ]\ncar\n", "line 2: no mark is called [ seen ]"),
        (
            "classes.json",
            '{"0": "sky", "1": "road", "1": "car"}',
            "key '1' twice: 'road' and 'car'",
        ),
        ("classes.json", '{"classes": ["sky", "road", "car"], "unsen": ["car"]}', "mean 'unseen'"),
        ("classes.json", '[{"name": "sky"}, {"name": "road", "synonym": "way"}]', "'synonyms'"),
    ],
)
def test_what_is_nearly_right_is_not_passed_over(tmp_path, file, text, told):
    made(tmp_path, classes=None)
    (tmp_path / file).write_text(text)
    assert told in message(ValueError, tmp_path)


def test_keys_and_brackets_of_somebody_else_do_not_matter(tmp_path):
    made(tmp_path, classes=None)
    record = {"classes": ["sky", "road [paved]", {"name": "car", "supercategory": "thing"}]}
    (tmp_path / "classes.json").write_text(json.dumps({**record, "name": "mine", "id": 1}))
    assert describe_folder(tmp_path).names == ("sky", "road [paved]", "car")
