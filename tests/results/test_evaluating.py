"""`ovss test`: metrics, other datasets, images, and refused input."""

from __future__ import annotations

import json

import pytest

from ovss.cli.test import main
from ovss.models.checkpoint import CheckpointError
from tests.tiny_config import write_tiny_config
from tests.tiny_training import tiny_config, train

SMALL = "test_dataloader.dataset.length=2"


def test_trained_weights_score_on_their_own_and_on_another_dataset(tmp_path):
    config = tiny_config(tmp_path)
    run = train(config, tmp_path / "run")
    weights = str(run / "weights.safetensors")
    out, drawn = tmp_path / "own.json", tmp_path / "drawn"
    flags = ["--work-dir", str(tmp_path / "test"), "--out", str(out), "--show-dir", str(drawn)]
    assert main([str(config), weights, *flags, "--cfg-options", SMALL]) == 0
    own = json.loads(out.read_text())
    assert len(own["categories"]) == 20
    assert own["metrics"].keys() >= {"mIoU", "mIoU_union", "mIoU_seen", "mIoU_unseen", "hIoU"}
    assert len(list(drawn.rglob("*.png"))) == 2

    other = tmp_path / "other.json"
    dataset = tmp_path / "fifty.py"
    dataset.write_text(
        "test_dataloader = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False),"
        "dataset=dict(type='MiniWorldDataset', split='val', vocabulary='mini_150', size=64,"
        "length=2, pipeline=[dict(type='PackSample')]))\n"
        "test_evaluator = dict(type='OpenVocabIoU', seen='mini_20')\n"
    )
    flags = ["--work-dir", str(tmp_path / "test"), "--on", str(dataset), "--out", str(other)]
    assert main([str(config), str(run / "iter_4.pth"), *flags]) == 0
    categories = json.loads(other.read_text())["categories"]
    assert len(categories) == 150
    assert sum(facts["seen"] for facts in categories.values()) == 20


def test_unknown_dataset_and_missing_weights_are_named(tmp_path):
    config = str(tiny_config(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Unknown dataset 'mini_15'\. Did you mean"):
        main([config, "--work-dir", str(tmp_path / "t"), "--on", "mini_15"])
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        main([config, str(tmp_path / "none.pth"), "--work-dir", str(tmp_path / "t")])


def test_weights_of_another_method_are_refused(tmp_path):
    run = train(tiny_config(tmp_path), tmp_path / "run")
    wide = tiny_config(tmp_path, "model['decoder']['dim'] = 32")
    with pytest.raises(CheckpointError, match="another shape"):
        main([str(wide), str(run / "weights.safetensors"), "--work-dir", str(tmp_path / "t")])


def test_a_config_without_data_asks_for_some(tmp_path):
    config = write_tiny_config(tmp_path)
    with pytest.raises(KeyError, match="--on DATASET"):
        main([str(config), "--work-dir", str(tmp_path / "t")])
