"""Tests of the benchmark datasets by name, read from prepared folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_folder import label_map, save_image
from mmengine.registry import DATASETS

from ovss.data import register_data
from ovss.data.folder import describe_folder
from ovss.models.configs import config_dir, list_configs, read_config

SETS = {
    # name: number of classes, number of words, label values of a row, their classes
    "coco_stuff_171": (171, 171, (0, 170, 80, 255), (0, 170, 80, -1)),
    "ade20k_150": (150, 150, (0, 149, 7, 255), (0, 149, 7, -1)),
    "ade20k_847": (847, 847, (0, 255, 846, 65535), (0, 255, 846, -1)),
    "pascal_context_59": (59, 59, (0, 58, 49, 255), (0, 58, 49, -1)),
    "pascal_context_459": (459, 459, (255, 458, 459, 65535), (255, 458, -1, -1)),
    "pascal_voc_20": (20, 20, (0, 19, 5, 255), (0, 19, 5, -1)),
    "pascal_voc_20b": (21, 59, (0, 19, 20, 255), (0, 19, 20, -1)),
    "pascal_context_60": (60, 60, (0, 59, 50, 255), (0, 59, 50, -1)),
    "pascal_voc_21": (21, 46, (0, 20, 5, 255), (0, 20, 5, -1)),
    "cityscapes": (19, 19, (0, 18, 5, 255), (0, 18, 5, -1)),
    "coco_object": (81, 105, (0, 80, 1, 255), (0, 80, 1, -1)),
}
WIDE = ("ade20k_847", "pascal_context_459")


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSS_DATA", str(tmp_path))

    def prepare(name: str) -> Path:
        wide = name in WIDE
        save_image(tmp_path / name / "images/val/a.jpg")
        path = tmp_path / name / "masks/val" / ("a.tif" if wide else "a.png")
        label_map(path, SETS[name][2], "16" if wide else "L")
        return tmp_path / name

    return prepare


def test_every_dataset_has_a_config():
    assert set(SETS) <= {path.stem for path in (config_dir() / "_base_/datasets").glob("*.py")}


@pytest.mark.parametrize("name", SETS)
def test_registered_datasets_read_prepared_folders(name, prepared):
    register_data()
    prepared(name)
    config = read_config(config_dir() / "_base_/datasets" / f"{name}.py")
    dataset = DATASETS.build(config.test_dataloader.dataset)
    classes, words, _, labels = SETS[name]
    meta = dataset.metainfo
    assert (len(meta["classes"]), len(meta.get("words", meta["classes"]))) == (classes, words)
    assert dataset[0]["data_samples"].gt_sem_seg.data[0, 0].tolist() == list(labels)
    assert len(dataset[0]["data_samples"].vocabulary) == words
    if words > classes:
        ground = meta["classes"].index("background")
        assert set(meta["word_class"]) == set(range(classes))
        assert meta["word_class"].count(ground) == words - classes + 1
    assert config.test_evaluator.type == "OpenVocabIoU"


def test_a_prepared_dataset_can_be_read_as_your_own_data(prepared):
    root = prepared("pascal_voc_20b")
    config = read_config(config_dir() / "_base_/datasets/pascal_voc_20b.py")
    registered = DATASETS.build(config.test_dataloader.dataset).metainfo
    facts = {"classes": registered["classes"], "ignored": [255]}
    facts |= {"words": registered["words"], "word_class": registered["word_class"]}
    (root / "classes.json").write_text(json.dumps(facts))
    record = {"vocabulary": "pascal_voc_20b", "ignored": [255], "mask_suffix": ".png"}
    record["splits"] = {"val": {"images": 1, "dropped": []}}
    (root / "dataset.json").write_text(json.dumps(record))
    described = describe_folder(root)
    assert (described.split, described.count) == ("val", 1)
    assert described.build().metainfo == {**registered, "seen": registered["classes"]}


def test_full_size_methods_train_on_prepared_folders(monkeypatch):
    monkeypatch.setenv("OVSS_DATA", "elsewhere")
    for name in ("cat_seg_vit-b16", "sed_convnext-b", "dpseg_convnext-b", "dcp_clip_vit-b16"):
        dataset = read_config(list_configs()[name]).train_dataloader.dataset
        assert dataset.images == "elsewhere/coco_stuff_171/images/train"
        assert dataset.masks == "elsewhere/coco_stuff_171/masks/train"
