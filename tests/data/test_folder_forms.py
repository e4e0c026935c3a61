"""Tests of every accepted form of a dataset folder against its content."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_folder import label_map, made, save_image

from ovss.data.class_file import read_class_file
from ovss.data.folder import describe_folder
from ovss.data.image_mask import ImageMaskDataset
from ovss.vocabularies import load_names

NAMES = ("sky", "road", "car, automobile")
CAR = {"name": "car", "synonyms": ["automobile"]}


def first_row(described) -> list[int]:
    return described.build().load(0).labels[0].tolist()


# -- class files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        list(NAMES),
        ["sky", {"name": "road"}, CAR],
        {"0": "sky", "1": "road", "2": "car, automobile"},
        {"2": "car, automobile", "0": "sky", "1": "road"},
        {"sky": 0, "road": 1, "car, automobile": 2},
        {"classes": list(NAMES)},
        {"names": ["sky", "road", CAR]},
        {"categories": [{"id": 2, **CAR}, {"id": 0, "name": "sky"}, {"id": 1, "name": "road"}]},
    ],
)
def test_json_forms_are_equivalent(tmp_path, content):
    described = describe_folder(made(tmp_path, content))
    assert described.names == NAMES
    assert described.label_map is None
    assert first_row(described) == [0, 1, 2, -1]


def test_a_text_file_with_comments_synonyms_and_a_mark(tmp_path):
    text = "# value 0 and on\nsky\nroad [unseen]\n# another\n  car,  automobile \n\n"
    found = read_class_file(made(tmp_path, text) / "classes.txt")
    assert found.names == NAMES
    assert found.facts.seen == ("sky", "car, automobile")


def test_label_values_in_the_class_file(tmp_path):
    classes = {"26": "car", "7": "road", "23": "sky"}
    described = describe_folder(made(tmp_path, classes, row=(7, 23, 26, 255)))
    assert described.names == ("road", "sky", "car")
    assert first_row(described) == [0, 1, 2, -1]
    from mmengine.config import Config

    dumped = Config.fromstring(Config(dict(d=described.config([]))).pretty_text, ".py").d
    dumped.pop("type")
    assert ImageMaskDataset(**dumped).load(0).labels[0].tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ({"classes": NAMES, "unseen": ["automobile"]}, ("sky", "road")),
        ({"classes": NAMES, "seen": ["car", "sky"]}, ("sky", "car, automobile")),
        ({"classes": NAMES, "seen": ["sky"], "unseen": ["road", "car"]}, ("sky",)),
        (["sky", "road", {**CAR, "seen": False}], ("sky", "road")),
        (["sky", {"name": "road", "unseen": True}, CAR], ("sky", "car, automobile")),
        ("sky [seen]\nroad\ncar", ("sky",)),
        ("sky [seen]\nroad [unseen]\ncar [SEEN]", ("sky", "car")),
        ("sky\nroad\ncar", None),
    ],
)
def test_marks(tmp_path, content, seen):
    described = describe_folder(made(tmp_path, content))
    assert described.seen == seen
    if seen is not None:
        assert described.build().metainfo["seen"] == seen


def test_marks_and_splits_in_another_file_of_the_same_classes(tmp_path):
    made(tmp_path, list(NAMES))
    facts = {"classes": NAMES, "unseen": ["road"], "ignore": 255, "val": ["b"], "train": ["a"]}
    (tmp_path / "split.json").write_text(json.dumps(facts))
    (tmp_path / "other.json").write_text(json.dumps({"classes": ["x"], "unseen": ["x"]}))
    described = describe_folder(tmp_path, split="val")
    assert described.seen == ("sky", "car, automobile")
    assert (described.count, described.subset, described.split) == (1, ("b",), "val")
    assert described.build().load(0).path.endswith("b.png")


def test_words_in_place_of_class_names(tmp_path):
    content = {
        "classes": ["sky", "road", "car"],
        "words": {"car": ["car", "van"], "road": "street"},
    }
    meta = describe_folder(made(tmp_path, content)).build().metainfo
    assert meta["classes"] == ("sky", "road", "car")
    assert meta["words"] == ("sky", "street", "car", "van")
    assert meta["word_class"] == (0, 1, 2, 2)


def test_a_registered_list_may_have_duplicates(tmp_path):
    names = load_names("ade20k_847")  # ten of them repeat the first synonym of another
    described = describe_folder(
        made(tmp_path, {"classes": names, "ignored": [65535]}, row=(0, 255, 846, 65535), kind="16")
    )
    assert described.config([])["vocabulary"] == "ade20k_847"
    assert first_row(described) == [0, 255, 846, -1]


# -- label maps ----------------------------------------------------------------------------------


def test_palette_pngs_are_indices_and_provide_colours(tmp_path):
    described = describe_folder(made(tmp_path, kind="P"))
    assert first_row(described) == [0, 1, 2, -1]
    assert described.palette == ((0, 255, 7), (1, 254, 7), (2, 253, 7))
    assert described.build().metainfo["palette"] == [[0, 255, 7], [1, 254, 7], [2, 253, 7]]


@pytest.mark.parametrize("kind", [".tif", ".png"])
def test_16_bits_stay_16_and_255_is_a_class(tmp_path, kind):
    names = [f"thing {i}" for i in range(300)]
    save_image(tmp_path / "images/a.jpg")
    label_map(tmp_path / f"masks/a{kind}", (0, 255, 299, 65535), "16")
    (tmp_path / "classes.json").write_text(json.dumps(names))
    described = describe_folder(tmp_path)
    assert described.ignored == (65535,)
    assert first_row(described) == [0, 255, 299, -1]


def test_255_is_not_ignored_if_it_is_a_class(tmp_path):
    described = describe_folder(made(tmp_path, {"0": "road", "255": "sky"}, row=(0, 255, 255, 0)))
    assert described.ignored == ()
    assert first_row(described) == [0, 1, 1, 0]


def test_ignored_values_of_the_file_replace_the_default(tmp_path):
    content = {"classes": ["sky", "road"], "ignored": [2, 9]}
    described = describe_folder(made(tmp_path, content, row=(0, 1, 2, 9)))
    assert first_row(described) == [0, 1, -1, -1]


BLUE, GREY, RED, BLACK = [70, 130, 180], [128, 64, 128], [220, 20, 60], [0, 0, 0]


@pytest.mark.parametrize(
    "palette",
    [
        {"sky": BLUE, "road": GREY, "automobile": RED, "ignored": BLACK},
        {"0": BLUE, "1": GREY, "2": RED, "ignored": [BLACK]},
    ],
)
@pytest.mark.parametrize("place", ["classes.json", "palette.json"])
def test_label_maps_in_colour(tmp_path, palette, place):
    inside = {"palette": palette} if place == "classes.json" else {}
    made(tmp_path, {"classes": NAMES, **inside}, row=(BLUE, GREY, RED, BLACK), kind="RGB")
    if not inside:
        (tmp_path / place).write_text(json.dumps(palette))
    described = describe_folder(tmp_path)
    assert described.color_masks
    assert first_row(described) == [0, 1, 2, -1]
    assert described.build().metainfo["palette"] == [BLUE, GREY, RED]


def test_colours_of_single_classes_and_in_order(tmp_path):
    row = (BLUE, GREY, GREY, BLUE)
    classes = [{"name": "road", "color": GREY}, {"name": "sky", "color": BLUE}]
    described = describe_folder(made(tmp_path / "a", classes, row=row, kind="RGB"))
    assert first_row(described) == [1, 0, 0, 1]
    classes = {"classes": ["road", "sky"], "palette": [GREY, BLUE]}
    described = describe_folder(made(tmp_path / "b", classes, row=row, kind="RGB"))
    assert first_row(described) == [1, 0, 0, 1]


def test_a_palette_for_label_maps_of_indices_is_for_drawing(tmp_path):
    content = {"classes": NAMES, "palette": [BLUE, GREY, RED]}
    described = describe_folder(made(tmp_path, content))
    assert not described.color_masks
    assert first_row(described) == [0, 1, 2, -1]
    assert described.palette == tuple(map(tuple, (BLUE, GREY, RED)))


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "masks"),
    [("imgs", "annotations"), ("JPEGImages", "SegmentationClass"), ("Photos", "Labels")],
)
def test_names_of_folders(tmp_path, images, masks):
    save_image(tmp_path / images / "deep/a.jpg")
    label_map(tmp_path / masks / "deep/a_seg.png")
    (tmp_path / "class_names.txt").write_text("\n".join(NAMES))
    described = describe_folder(tmp_path)
    assert (described.mask_suffix, described.count, described.split) == ("_seg.png", 1, None)
    assert first_row(described) == [0, 1, 2, -1]


def test_a_folder_without_label_maps_is_skipped(tmp_path):
    made(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5")
    assert describe_folder(tmp_path).masks == tmp_path / "masks"


@pytest.mark.parametrize(
    ("wanted", "folder"), [("val", "validation"), ("train", "training"), ("training", "training")]
)
def test_splits_are_folders(tmp_path, wanted, folder):
    made(tmp_path, stems=("training/a", "training/b", "validation/c"))
    described = describe_folder(tmp_path, split=wanted)
    assert described.images.name == described.masks.name == described.split == folder
    assert described.count == (1 if folder == "validation" else 2)
    assert describe_folder(tmp_path, split="all").count == 3


@pytest.mark.parametrize("place", ["val.txt", "splits/val.txt", "ImageSets/Segmentation/val.txt"])
def test_splits_are_lists(tmp_path, place):
    made(tmp_path, stems=("a", "b", "c.d"))
    (tmp_path / "masks/a.png").unlink()
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("c.d\nb.png\n")
    described = describe_folder(tmp_path, split="val")
    assert [mask.stem for _, mask in described.build().pairs] == ["b", "c.d"]


def test_lists_written_by_windows_and_other_tools(tmp_path):
    made(tmp_path, stems=("a", "sub dir/\u00e4", "c"))
    listed = "\ufeffa.png\r\nsub dir\\\u00e4.png\r\nimages/c.png\r\n"
    (tmp_path / "val.txt").write_bytes(listed.encode())
    assert describe_folder(tmp_path, split="val").count == 3
    dataset = ImageMaskDataset(
        str(tmp_path / "images"), None, NAMES, [], subset=str(tmp_path / "val.txt")
    )
    assert len(dataset) == 3


def test_one_bit_label_maps_and_grey_or_transparent_images(tmp_path):
    from PIL import Image

    made(tmp_path, "ground\nthing", row=(0, 1, 1, 0))
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(np.array(Image.open(path)).astype(bool)).save(path)
    for stem, mode in (("a", "L"), ("b", "RGBA")):
        path = tmp_path / f"images/{stem}.png"
        Image.open(path).convert(mode).save(path)
    dataset = describe_folder(tmp_path).build()
    assert [dataset.load(i).labels[0].tolist() for i in range(2)] == [[0, 1, 1, 0]] * 2
    assert dataset.load(0).image.shape == (3, 4, 3)


def test_arguments_give_other_locations(tmp_path):
    made(tmp_path / "set")
    (tmp_path / "set/images").rename(tmp_path / "photographs")
    (tmp_path / "set/masks").rename(tmp_path / "set/truth")
    (tmp_path / "set/classes.txt").rename(tmp_path / "words.txt")
    described = describe_folder(
        tmp_path / "set",
        images=tmp_path / "photographs",
        masks="truth",
        classes=tmp_path / "words.txt",
    )
    assert described.count == 2


def test_folders_may_be_links_and_circular_links_are_harmless(tmp_path):
    made(tmp_path / "elsewhere", stems=("a",))
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        (tmp_path / "set" / kind / "val").symlink_to(tmp_path / "elsewhere" / kind)
        (tmp_path / "elsewhere" / kind / "back").symlink_to(tmp_path / "set" / kind)
    (tmp_path / "set/classes.txt").write_text("\n".join(NAMES))
    described = describe_folder(tmp_path / "set")
    assert (described.split, described.count) == ("val", 1)


def test_a_class_file_is_a_vocabulary_file_too(tmp_path):
    path = made(tmp_path, "sky\nroad [unseen]\ncar [seen]") / "classes.txt"
    assert load_names(path) == ("sky", "road", "car")


def test_the_suffix_of_label_maps_can_be_set(tmp_path):
    made(tmp_path)
    for stem in "ab":
        label_map(tmp_path / f"masks/{stem}_color.png", (9, 9, 9, 9))
    facts = {"classes": NAMES, "mask_suffix": ".png"}
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.json").write_text(json.dumps(facts))
    assert first_row(describe_folder(tmp_path)) == [0, 1, 2, -1]


def test_the_size_of_an_image_follows_its_exif_orientation(tmp_path):
    from PIL import Image

    made(tmp_path, stems=("a",))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    (tmp_path / "images/a.png").unlink()
    Image.fromarray(np.zeros((4, 3, 3), np.uint8)).save(tmp_path / "images/a.jpg", exif=exif)
    described = describe_folder(tmp_path)
    assert described.build().load(0).image.shape == (3, 4, 3)


def test_the_text_of_a_description(tmp_path):
    text = str(describe_folder(made(tmp_path, "sky\nroad [unseen]\ncar")))
    assert f"2 images in {tmp_path / 'images'}" in text
    assert "3 classes" in text
    assert "1 unseen" in text
    assert "not labelled: 255" in text


def test_label_maps_without_an_image_are_counted(tmp_path):
    folder = made(tmp_path, list(NAMES))
    assert describe_folder(folder).unpaired == 0
    label_map(folder / "masks" / "lost.png", (0, 1, 2, 255))
    described = describe_folder(folder)
    assert described.count == 2
    assert "1 label maps without an image are left out" in str(described)
