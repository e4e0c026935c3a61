"""Loaders without workers: training, validation and test run, and give what workers give."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from ovss.__main__ import main
from ovss.data.loaders import without_worker_options
from tests.tiny_training import losses, tiny_config, train

OF_WORKERS = """
for _loader in (train_dataloader, val_dataloader, test_dataloader):
    _loader.update(persistent_workers=True, prefetch_factor=2, timeout=60)
train_cfg = dict(max_iters=4, val_interval=2)
train_dataloader["dataset"]["pipeline"] = [dict(type="RandomFlip", prob=0.5),
                                           dict(type="PackSample")]
"""


def numbers(count: int) -> list[str]:
    """Flags that set the number of workers of every loader."""
    parts = ("train", "val", "test")
    return ["--cfg-options", *(f"{part}_dataloader.num_workers={count}" for part in parts)]


def scores(work_dir: Path) -> list[dict]:
    rows = map(json.loads, (work_dir / "curve.jsonl").read_text().splitlines())
    return [row for row in rows if "val_mIoU" in row]


def test_options_of_workers_stay_with_workers():
    loader = {"num_workers": 3, "persistent_workers": True, "prefetch_factor": 4, "timeout": 5}
    assert without_worker_options(loader) == loader
    assert without_worker_options({**loader, "num_workers": 0}) == {"num_workers": 0}
    del loader["num_workers"]  # torch's default is 0
    assert without_worker_options(loader) == {}
    assert loader["persistent_workers"], "the config itself stays"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("config"), OF_WORKERS)


def test_a_training_without_workers_has_the_curve_of_one_with_workers(config, tmp_path):
    none = train(config, tmp_path / "none", *numbers(0))
    two = train(config, tmp_path / "two", *numbers(2))
    assert not multiprocessing.active_children(), "workers of training and validation have ended"
    assert losses(none) == losses(two)
    assert len(losses(none)) == 4
    assert scores(none) == scores(two)
    assert [row["iter"] for row in scores(none)] == [2, 4]


def test_a_training_resumes_with_another_number_of_workers(config, tmp_path):
    whole = train(config, tmp_path / "whole", *numbers(0))
    not_kept = "train_dataloader.persistent_workers=False"
    part = train(config, tmp_path / "part", *numbers(2), not_kept, "train_cfg.max_iters=2")
    assert not multiprocessing.active_children()
    assert max(losses(part)) == 2
    length = [*numbers(0), "train_dataloader.timeout=0"]
    train(config, part, "--resume", *length)
    assert losses(part).keys() == losses(whole).keys()


def test_an_evaluation_without_workers_has_the_result_of_one_with_workers(config, tmp_path):
    results = []
    for count in (0, 2):
        place = tmp_path / f"{count}.json"
        flags = ["--work-dir", str(tmp_path / str(count)), "--out", str(place), *numbers(count)]
        assert main(["test", str(config), "none", *flags]) == 0
        results.append(json.loads(place.read_text()))
    assert not multiprocessing.active_children()
    assert results[0]["metrics"] == results[1]["metrics"]


def test_a_dry_run_leaves_the_options_of_workers_out(config, capsys):
    assert main(["train", str(config), "--dry-run", "--steps", "1"]) == 0
    assert "loss " in capsys.readouterr().out
