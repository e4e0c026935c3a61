"""Prepared folders are read alike by the registered datasets and by their own description."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from mmengine.config import Config
from official_files import colour_png, index_png, run, write_image

from ovss.data.folder import describe_folder
from ovss.data.image_mask import ImageMaskDataset
from ovss.prepare import RECIPES, ade20k, coco_stuff, pascal_context, pascal_voc
from ovss.prepare.tables import load_table, load_text
from ovss.vocabularies import load_names


def ade20k_847(root):
    folder = root / "ADE20K_2021_17_01/images/ADE/validation/home/room"
    write_image(folder / "ADE_val_00000001.jpg", 1, 3)
    raw = {index: value for value, index in load_table("ade20k_847")["pairs"].items()}
    pixels = [[(raw[i] // 256 * 10, raw[i] % 256, 0) for i in (255, 846)] + [(0, 0, 0)]]
    colour_png(folder / "ADE_val_00000001_seg.png", np.array(pixels))
    return [[255, 846, -1]]


def pascal_context_459(root):
    from scipy.io import savemat

    name = load_text("pascal_context_val.txt")[0]
    write_image(root / f"VOC2010/JPEGImages/{name}.jpg", 1, 4)
    (root / "VOC2010/trainval").mkdir()
    values = np.array([[256, 459, 0, 460]], np.uint16)
    savemat(root / f"VOC2010/trainval/{name}.mat", {"LabelMap": values})
    return [[255, 458, -1, -1]]


def voc(root):
    write_image(root / "JPEGImages/2007_000033.jpg", 1, 3)
    index_png(root / "SegmentationClassAug/2007_000033.png", [[0, 20, 255]], palette=True)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n")


def pascal_voc_20(root):
    voc(root)
    return [[-1, 19, -1]]


def pascal_voc_20b(root):
    voc(root)
    return [[20, 19, -1]]


def pascal_voc_21(root):
    voc(root)
    return [[0, 20, -1]]


def coco_object(root):
    write_image(root / "val2017/000000000139.jpg", 1, 3)
    index_png(root / "stuffthingmaps/val2017/000000000139.png", [[0, 181, 255]])
    return [[1, 0, -1]]


def cityscapes(root):
    write_image(root / "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png", 1, 3)
    index_png(root / "gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png", [[7, 33, 0]])
    return [[0, 18, -1]]


MAKERS = (
    ade20k_847,
    pascal_context_459,
    pascal_voc_20,
    pascal_voc_20b,
    pascal_voc_21,
    coco_object,
    cityscapes,
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_read_as_it_was_prepared(make, tmp_path, monkeypatch, repo_root):
    name = make.__name__
    (tmp_path / "s").mkdir()
    expected = make(tmp_path / "s")
    run(name, tmp_path / "s", tmp_path / "data" / name)
    monkeypatch.setenv("OVSS_DATA", str(tmp_path / "data"))
    config = Config.fromfile(repo_root / "configs" / "_base_" / "datasets" / f"{name}.py")
    options = dict(config.test_dataloader.dataset)
    assert options.pop("type") == "ImageMaskDataset"
    registered = ImageMaskDataset(**{**options, "pipeline": []})
    described = describe_folder(tmp_path / "data" / name).build()
    for dataset in (registered, described):
        assert len(dataset) == 1
        assert dataset.load(0).labels.tolist() == expected
        assert tuple(dataset.metainfo["classes"]) == RECIPES[name].names()


@pytest.mark.parametrize("name", RECIPES)
def test_as_many_names_as_classes(name):
    recipe = RECIPES[name]
    assert len(recipe.names()) == recipe.num_classes
    classes = recipe.word_class or range(recipe.num_classes)
    assert len(load_names(recipe.vocabulary)) == len(classes)
    assert set(classes) == set(range(recipe.num_classes))


def test_every_recipe_is_registered(repo_root):
    registered = {path.stem for path in (repo_root / "configs/_base_/datasets").glob("*.py")}
    assert set(RECIPES) <= registered


PUBLISHED = {
    "coco_stuff_171": (coco_stuff._stuff, "coco_stuff_164k_to_171", None),
    "ade20k_150": (ade20k._table_150, "ade20k_150", None),
    "ade20k_847": (ade20k._table_847, "ade20k_847", None),
    "pascal_context_59": (pascal_context._table_59, "pascal_context_59", None),
    "pascal_context_459": (pascal_context._table_459, "pascal_context_459", None),
    "pascal_voc_20": (partial(pascal_voc._table, 255), "pascal_voc", "voc20"),
    "pascal_voc_20b": (partial(pascal_voc._table, 20), "pascal_voc", "voc20b"),
}
"""Function that makes our table; file and entry of the table parsed from the authors' script."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_equal_the_published_ones(name, shared_dir):
    make_table, file, part = PUBLISHED[name]
    path = shared_dir / "data" / "labels" / "mappings" / f"{file}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    rules = json.loads(path.read_text())
    rules = rules[part] if part else rules
    pairs = rules.get("raw_to_train") or {row["raw"]: row["train_id"] for row in rules["classes"]}
    published = {int(raw): index for raw, index in pairs.items()}
    lookup = make_table().lookup
    assert {raw: int(lookup[raw]) for raw in published} == published
    others = {int(lookup[raw]) for raw in set(range(len(lookup))) - published.keys()}
    assert others <= {-1, *RECIPES[name].ignored}  # -1: an error, since no official file has it


def test_category_397_is_table_in_459_and_diningtable_in_59():
    assert load_names("pascal_context_459")[397 - 1] == "table"
    assert load_names("pascal_context_59")[pascal_context._table_59().lookup[397]] == "diningtable"
