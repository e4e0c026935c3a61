"""PASCAL VOC 2012: palette files, background absent or last, images without any class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from official_files import colour_png, index_png, mask, run, write_image
from PIL import Image

from ovss.prepare import SourceError
from ovss.prepare.recipe import LabelError
from ovss.vocabularies import load_names

ROWS = [[0, 1, 20], [255, 11, 5]]


def voc(root, masks="SegmentationClassAug", palette=True, names=("2007_000033", "2007_000042")):
    for name in names:
        write_image(root / f"JPEGImages/{name}.jpg", 2, 3)
    index_png(root / f"{masks}/{names[0]}.png", ROWS, palette)
    index_png(root / f"{masks}/{names[1]}.png", [[0, 0, 0], [255, 0, 0]], palette)
    listing = root / "ImageSets/Segmentation/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{name}\n" for name in names))
    return root


@pytest.mark.parametrize("palette", [True, False])
def test_without_background(tmp_path, palette):
    voc(tmp_path / "s/VOCdevkit/VOC2012", palette=palette)
    description = run("pascal_voc_20", tmp_path / "s", tmp_path / "o").description
    assert mask(tmp_path / "o", "2007_000033").tolist() == [[255, 0, 19], [255, 10, 4]]
    # the second image shows no class, so it is skipped
    assert [p.name for p in (tmp_path / "o/images/val").iterdir()] == ["2007_000033.jpg"]
    assert [p.name for p in (tmp_path / "o/masks/val").iterdir()] == ["2007_000033.png"]
    assert description["splits"]["val"]["dropped"] == ["2007_000042"]
    assert description["splits"]["val"]["images"] == 1


def test_background_is_the_last_class(tmp_path):
    voc(tmp_path / "s/VOC2012")
    run("pascal_voc_20b", tmp_path / "s", tmp_path / "o")
    assert mask(tmp_path / "o", "2007_000033").tolist() == [[20, 0, 19], [255, 10, 4]]
    assert mask(tmp_path / "o", "2007_000042").tolist() == [[20, 20, 20], [255, 20, 20]]
    description = json.loads((tmp_path / "o/classes.json").read_text())
    assert description["classes"] == [*load_names("pascal_voc_20"), "background"]
    assert description["words"] == list(load_names("pascal_voc_20b"))
    assert description["word_class"] == [*range(20), *[20] * 39]


def test_background_is_the_first_class(tmp_path):
    voc(tmp_path / "s/VOC2012")
    run("pascal_voc_21", tmp_path / "s", tmp_path / "o")
    assert mask(tmp_path / "o", "2007_000033").tolist() == [[0, 1, 20], [255, 11, 5]]
    assert mask(tmp_path / "o", "2007_000042").tolist() == [[0, 0, 0], [255, 0, 0]]
    description = json.loads((tmp_path / "o/classes.json").read_text())
    assert description["classes"] == ["background", *load_names("pascal_voc_20")]


def test_segmentation_class_is_used_and_noted(tmp_path):
    voc(tmp_path / "s", masks="SegmentationClass")
    description = run("pascal_voc_20", tmp_path / "s", tmp_path / "o").description
    assert "SegmentationClass was used" in description["splits"]["val"]["notes"][0]


def test_masks_in_colour_are_rejected_and_named(tmp_path):
    root = voc(tmp_path / "s")
    path = root / "SegmentationClassAug/2007_000033.png"
    with Image.open(path) as image:
        colours = np.array(image.convert("RGB"))
    colour_png(path, colours)
    with pytest.raises(LabelError, match=r"2007_000033\.png: .*mode RGB.*Colours"):
        run("pascal_voc_20", tmp_path / "s", tmp_path / "o")
    index_png(path, [[0, 21, 0], [0, 0, 0]])
    with pytest.raises(LabelError, match=r"2007_000033\.png contains .*21 \(1 pixels\)"):
        run("pascal_voc_20", tmp_path / "s", tmp_path / "o")


def test_lists_and_folders(tmp_path):
    root = voc(tmp_path / "s")
    listing = root / "ImageSets/Segmentation/val.txt"
    listing.write_text("2007_000033\n2007_000033\n")
    with pytest.raises(SourceError, match="contains '2007_000033' twice"):
        run("pascal_voc_20", tmp_path / "s", tmp_path / "o")
    listing.unlink()
    with pytest.raises(SourceError, match=r"val\.txt.*VOCtrainval_11-May-2012\.tar.*Licence"):
        run("pascal_voc_20", tmp_path / "s", tmp_path / "o")
