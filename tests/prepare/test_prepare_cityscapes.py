"""Cityscapes: official ids and derived ones give the same 19 classes."""

from __future__ import annotations

import pytest
from official_files import index_png, mask, run, write_image

from ovss.prepare import SourceError
from ovss.prepare.recipe import LabelError
from ovss.vocabularies import load_names

IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32,
    "bicycle": 33,
}  # fmt: skip
EVERY = [*range(34), 255]


def scene(root, key, values, ending):
    town = key.split("_")[0]
    write_image(root / f"leftImg8bit/val/{town}/{key}_leftImg8bit.png", 1, len(values))
    return index_png(root / f"gtFine/val/{town}/{key}_gtFine_{ending}.png", [values])


def test_every_id(tmp_path):
    scene(tmp_path / "s", "ulm_000000_000019", EVERY, "labelIds")
    scene(tmp_path / "s", "bonn_000000_000019", [*range(19), 255], "labelTrainIds")
    description = run("cityscapes", tmp_path / "s", tmp_path / "o").description
    names = load_names("cityscapes")
    classes = {IDS[name]: index for index, name in enumerate(names)}
    expected = [classes.get(value, 255) for value in EVERY]
    assert mask(tmp_path / "o", "ulm_000000_000019").tolist() == [expected]
    assert mask(tmp_path / "o", "bonn_000000_000019").tolist() == [[*range(19), 255]]
    assert "missing for 1 images" in description["splits"]["val"]["notes"][0]
    assert sorted(p.name for p in (tmp_path / "o/images/val").iterdir()) == [
        "bonn_000000_000019.png", "ulm_000000_000019.png"
    ]  # fmt: skip


def test_official_ids_take_precedence_over_derived_ones(tmp_path):
    scene(tmp_path / "s", "ulm_000000_000019", [7, 33], "labelIds")
    scene(tmp_path / "s", "ulm_000000_000019", [5, 5], "labelTrainIds")
    scene(tmp_path / "s", "ulm_000000_000019", [9, 9], "instanceIds")
    run("cityscapes", tmp_path / "s", tmp_path / "o")
    assert mask(tmp_path / "o", "ulm_000000_000019").tolist() == [[0, 18]]


def test_what_is_wrong_is_named(tmp_path):
    path = scene(tmp_path / "s", "ulm_000000_000019", [7, 34], "labelIds")
    with pytest.raises(LabelError, match=r"labelIds\.png contains .*34 \(1 pixels\)"):
        run("cityscapes", tmp_path / "s", tmp_path / "o")
    again = tmp_path / "s/leftImg8bit/val/bonn/ulm_000000_000019_leftImg8bit.png"
    write_image(again, 1, 2)
    with pytest.raises(SourceError, match="two files have the same key 'ulm_000000_000019'"):
        run("cityscapes", tmp_path / "s", tmp_path / "o")
    again.unlink()
    path.unlink()
    with pytest.raises(SourceError, match="no labelled image of split 'val'"):
        run("cityscapes", tmp_path / "s", tmp_path / "o")
    with pytest.raises(SourceError, match=r"leftImg8bit/val or gtFine/val.*registration"):
        run("cityscapes", tmp_path, tmp_path / "o")
