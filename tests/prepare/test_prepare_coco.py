"""COCO-Stuff and COCO-Object: real samples, and every value by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from official_files import SOME, colour_png, index_png, mask, run, write_image

from ovss.data.files import read_labels
from ovss.prepare import Options, SourceError
from ovss.prepare.recipe import LabelError
from ovss.vocabularies import load_names

SKIPPED = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}


@pytest.fixture
def spade(shared_dir):
    folder = shared_dir / "data" / "cocostuff_spade21"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def official(root, spade):
    (root / "stuffthingmaps").mkdir(parents=True)
    for split in ("train", "val"):
        (root / f"{split}2017").symlink_to(spade / f"{split}_img")
        (root / "stuffthingmaps" / f"{split}2017").symlink_to(spade / f"{split}_label")
    return root


def test_real_samples_equal_their_reference(spade, tmp_path):
    out = tmp_path / "out"
    description = run("coco_stuff_171", official(tmp_path / "coco", spade), out).description
    stats = json.loads((spade / "class_stats.json").read_text())
    compared = 0
    for split in ("train", "val"):
        for path in sorted((spade / f"{split}_label171").glob("*.png")):
            made = read_labels(out / "masks" / split / path.name)
            assert made.dtype == np.uint8
            assert np.array_equal(made, read_labels(path)), path
            compared += 1
        assert (
            len(list((out / "images" / split).iterdir())) == description["splits"][split]["images"]
        )
    assert compared == 21
    pixels = np.array([description["census"][split] for split in description["splits"]])[
        ..., 0
    ].sum(0)
    assert (pixels > 0).sum() == 87
    assert len(stats) > 0
    ignored = sum(summary["ignored_pixels"] for summary in description["splits"].values())
    total = sum(summary["pixels"] for summary in description["splits"].values())
    assert f"{ignored / total:.3f}" == "0.040"
    assert description["partial"] is True


def test_every_value_of_coco_stuff(tmp_path):
    """Class indices are the ids without gaps: an id minus the number of unused ids below it."""
    values = [*range(182), 255]
    write_image(tmp_path / "s/val2017/a.jpg", 1, len(values))
    index_png(tmp_path / "s/stuffthingmaps/val2017/a.png", [values])
    splits = Options(("val",), jobs=1, allow_partial=True, progress=False)
    run("coco_stuff_171", tmp_path / "s", tmp_path / "o", splits)
    expected = [
        255 if v in SKIPPED or v == 255 else v - sum(s < v for s in SKIPPED) for v in values
    ]
    assert mask(tmp_path / "o", "a").tolist() == [expected]
    assert sorted(set(expected)) == [*range(171), 255]
    run("coco_object", tmp_path / "s", tmp_path / "things")
    things = [v if v == 255 else v + 1 if v < 80 else 0 for v in expected]
    assert mask(tmp_path / "things", "a").tolist() == [things]
    names = json.loads((tmp_path / "things/classes.json").read_text())["classes"]
    assert names == list(load_names("coco_object"))
    assert names[1 + 16] == "dog"  # official id 18, pixel 17: one id below it never occurs
    assert things[17] == 17


@pytest.mark.parametrize("value", [182, 183, 254])
def test_other_codes_of_coco_are_rejected(tmp_path, value):
    write_image(tmp_path / "s/val2017/a.jpg", 1, 2)
    path = index_png(tmp_path / "s/stuffthingmaps/val2017/a.png", [[0, value]])
    with pytest.raises(
        LabelError, match=rf"a\.png contains .*{value} \(1 pixels\).*stuffthingmaps"
    ):
        run("coco_object", tmp_path / "s", tmp_path / "o")
    assert path.exists()
    assert not (tmp_path / "o").exists()


def test_what_is_wrong_with_a_source_is_named(tmp_path):
    source, out = tmp_path / "s", tmp_path / "o"
    with pytest.raises(SourceError, match=r"is not a folder.*CC BY 4\.0"):
        run("coco_object", source, out)
    write_image(source / "val2017/a.jpg")
    with pytest.raises(SourceError, match=r"stuffthingmaps_trainval2017\.zip.*CC BY"):
        run("coco_object", source, out)
    masks = source / "stuffthingmaps/val2017"
    index_png(masks / "a.png", np.zeros((4, 6)))
    index_png(masks / "a_labelTrainIds.png", np.zeros((4, 6)))  # another tool's, left alone
    write_image(source / "val2017/b.jpg")
    whole = Options(jobs=1, progress=False)
    with pytest.raises(SourceError, match=r"without labels: .*b\.jpg.*has 1 .*5000"):
        run("coco_object", source, out, whole)
    assert run("coco_object", source, out).description["splits"]["val"]["images"] == 1
    write_image(source / "val2017/a.jpeg")
    with pytest.raises(SourceError, match=r"the same key 'a': .*a\.jpeg and .*a\.jpg"):
        run("coco_object", source, tmp_path / "p")


def test_files_that_are_not_official_labels_are_named(tmp_path):
    source = tmp_path / "s"
    masks = source / "stuffthingmaps/val2017"
    for name in "abcd":
        write_image(source / f"val2017/{name}.jpg")
    colour_png(masks / "a.png", np.zeros((4, 6, 3)))
    index_png(masks / "b.png", np.zeros((6, 4)))
    (masks / "c.png").write_bytes(b"not an image")
    index_png(masks / "d.png", np.zeros((4, 6)))
    with pytest.raises(LabelError) as error:
        run("coco_object", source, tmp_path / "o")
    assert "a.png: expected one channel of 8-bit indices" in str(error.value)
    assert "b.png: the label map has (height, width) (6, 4)" in str(error.value)
    assert "c.png cannot be read" in str(error.value)
    assert "d.png" not in str(error.value)
    assert not (tmp_path / "o").exists()
    for name in "abc":
        index_png(masks / f"{name}.png", np.zeros((4, 6)))
    outcome = run("coco_object", source, tmp_path / "o")
    assert (outcome.made, outcome.resumed) == (3, 1)


def test_an_image_rotated_by_exif_is_rejected(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / "s/val2017/a.jpg", exif=exif)
    index_png(tmp_path / "s/stuffthingmaps/val2017/a.png", np.zeros((4, 6)))
    with pytest.raises(LabelError, match=r"a\.jpg: EXIF"):
        run("coco_object", tmp_path / "s", tmp_path / "o", SOME)
