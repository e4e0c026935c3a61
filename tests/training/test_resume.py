"""Resuming: the curve of one training, a new schedule followed exactly, other settings refused."""

from __future__ import annotations

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import CosineAnnealingLR, LinearLR

from ovss.io.advice import advice_of
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.training import NonFiniteLossError
from ovss.training.build import build_runner
from ovss.training.checkpoint_loading import check_same_weights
from ovss.training.checkpoint_reader import find_checkpoint, read_training_checkpoint
from ovss.training.checkpoints import IMAGES, names_not_finite
from ovss.training.resume import ResumeMismatchError, check_resumable
from tests.tiny_training import tiny_config, train

WARMUP = """
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=3, start_factor=0.1),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=3, eta_min=1e-5),
]
"""


CHANGES = {
    "missing": r"1 missing: decoder\.head\.bias\. .*no other checkpoint",
    "further": "1 unexpected: extra",
    "shape": r"1 of another shape: decoder\.head\.bias \(1, ",
}


def rates(run):
    rows = map(json.loads, (run / "curve.jsonl").read_text().splitlines())
    return {row["iter"]: row["lr"] for row in rows if "lr" in row}


def fresh_rates(steps):
    """Rates of `WARMUP` in a training of some steps, computed alone."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    warmup = LinearLR(optimizer, by_epoch=False, begin=0, end=3, start_factor=0.1)
    cosine = CosineAnnealingLR(optimizer, by_epoch=False, begin=3, end=steps, eta_min=1e-5)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warmup.step()
        cosine.step()
    return dict(enumerate(found, 1))


def test_a_longer_schedule_is_followed_exactly(tmp_path, capsys):
    config = tiny_config(tmp_path, f"{WARMUP}train_cfg = dict(max_iters=5)")
    run = train(config, tmp_path / "run")
    assert rates(run) == fresh_rates(5)
    capsys.readouterr()
    longer = ("--cfg-options", "train_cfg.max_iters=7")
    train(config, run, "--resume", *longer)
    assert "follows the new schedule: param_scheduler" in capsys.readouterr().out
    resumed, fresh = rates(run), fresh_rates(7)
    assert [resumed[step] for step in (6, 7)] == [fresh[step] for step in (6, 7)]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    return load_config(tiny_config(tmp_path_factory.mktemp("config"), WARMUP))


def compare(config, changes, seed=None, images=6, iteration=4):
    meta = {"cfg": config.pretty_text, "seed": 0, "iter": iteration, IMAGES: 6}
    new = Config(config.to_dict())
    new.merge_from_dict(changes)
    return check_resumable(meta, new, "iter_4.pth", images, seed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_dataloader.batch_size": 4}, "batch_size is 2 in the checkpoint and 4 here"),
        ({"optim_wrapper.optimizer.lr": 1.0}, r"optimizer\.lr is 0\.001 .* and 1\.0 here"),
        ({"optim_wrapper.optimizer.type": "SGD"}, "'AdamW' in the checkpoint and 'SGD' here"),
        ({"optim_wrapper.clip_grad": None}, r"max_norm is 1\.0 in the checkpoint and not set here"),
        ({"optim_wrapper.amp": "float16"}, "amp is not set in the checkpoint and 'float16' here"),
        ({"model.decoder.dim": 32}, "decoder.dim is 16 in the checkpoint and 32"),
        ({"model.prompts": {"templates": ["{}"]}}, "model.prompts.templates"),
        ({"train_dataloader.dataset.length": 9}, "dataset.length is 6"),
        ({"train_dataloader.dataset.pipeline": []}, r"pipeline\.0\.type"),
        ({"ema": {"momentum": 0.1}}, "ema.momentum is not set in the checkpoint"),
        ({"randomness.deterministic": True}, "randomness.deterministic"),
    ],
)
def test_other_settings_are_refused_with_both_values(config, changes, message):
    with pytest.raises(ResumeMismatchError, match=message) as caught:
        compare(config, changes)
    assert "Set these keys back, or start a new training" in str(caught.value)
    assert "load_from" in advice_of(caught.value).topics


def test_seed_and_number_of_images_are_compared(config):
    with pytest.raises(ResumeMismatchError, match=r"randomness\.seed is 0 .* and 7 here"):
        compare(config, {}, seed=7)
    with pytest.raises(ResumeMismatchError, match=r"number of training images is 6 .* and 5 here"):
        compare(config, {}, images=5)
    assert compare(config, {"randomness.seed": 7}) == {}, "the checkpoint's own seed counts"


def test_what_does_not_change_the_curve_may_change(config):
    changes = {
        "train_dataloader.num_workers": 3,
        "train_cfg.val_interval": 1,
        "val_dataloader.batch_size": 1,
        "model.inference.size": 64,
        "model.encoder.text_cache": "off",
        "default_hooks.checkpoint.interval": 7,
        "fsdp": True,
        "gradient_checkpointing": True,
    }
    assert compare(config, changes) == {}
    assert compare(config, {"train_cfg.micro_batch": 1}) == {
        "train_cfg.micro_batch": "not set -> 1"
    }


def test_the_schedule_may_change_but_not_end_before_the_checkpoint(config):
    changes = {"train_cfg.max_iters": 9, "param_scheduler.1.eta_min": 0.5}
    assert compare(config, changes) == {
        "train_cfg.max_iters": "4 -> 9",
        "param_scheduler.1.eta_min": "1e-05 -> 0.5",
    }
    with pytest.raises(ResumeMismatchError, match=r"iteration 8, after the end .*max_iters=4"):
        compare(config, {}, iteration=8)
    plateau = {"param_scheduler": [{"type": "ReduceOnPlateauLR", "monitor": "loss"}]}
    with pytest.raises(ResumeMismatchError, match=r"param_scheduler\.0\.type"):
        compare(config, plateau)


def test_moved_data_is_the_same_data(config):
    def placed(folder):
        own = Config(config.to_dict())
        own.train_dataloader.dataset = {"type": "ImageMaskDataset", "images": f"{folder}/images"}
        return own

    meta = {"cfg": placed("/home/a/ade").pretty_text, "seed": 0, "iter": 1}
    assert check_resumable(meta, placed("data/ade"), "c.pth", 6, None) == {}
    with pytest.raises(ResumeMismatchError, match=r"dataset\.images is '/home/a/ade/images'"):
        check_resumable(meta, placed("/home/a/coco"), "c.pth", 6, None)


def test_another_batch_size_is_refused_before_the_model_is_built(tmp_path, monkeypatch):
    path = tiny_config(tmp_path)
    run = train(path, tmp_path / "run", "--amp")

    def built(*_):
        raise AssertionError("the model was built")

    monkeypatch.setattr("ovss.training.runner.build_model", built)
    options = ("--cfg-options", "train_dataloader.batch_size=1")
    with pytest.raises(ResumeMismatchError, match=r"batch_size is 2") as caught:
        train(path, run, "--resume", *options)
    notes = " ".join(caught.value.__notes__)
    assert "Continue with --amp bfloat16." in notes, "the run forgot this flag as well"
    assert f"load_from={run / 'iter_4.pth'}" in notes


def test_states_that_are_not_finite_are_neither_saved_nor_resumed(tmp_path):
    path = tiny_config(tmp_path)
    runner = build_runner(load_config(path), tmp_path / "run")
    runner.train()
    assert names_not_finite(runner) == []
    file = tmp_path / "run" / "iter_4.pth"
    content = torch.load(file, weights_only=False)
    content["optimizer"]["state"][0]["exp_avg"].view(-1)[:2] = float("nan")
    torch.save(content, file)
    with pytest.raises(
        CheckpointError,
        match=r"has 2 values .*optimizer\.state\.0\.exp_avg .*earlier checkpoint: iter_3\.pth",
    ):
        read_training_checkpoint(file)
    for kind, message in CHANGES.items():
        changed = torch.load(tmp_path / "run/iter_3.pth", weights_only=False)
        weights = changed["state_dict"]
        if kind == "missing":
            del weights["decoder.head.bias"]
        elif kind == "further":
            weights["extra"] = torch.ones(1)
        else:
            weights["decoder.head.bias"] = weights["decoder.head.bias"][None]
        torch.save(changed, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match=message):
            check_same_weights(runner.model, tmp_path / "other.pth")
    check_same_weights(runner.model, tmp_path / "run/iter_3.pth")
    parameter = runner.model.decoder.head.bias
    state = runner.optim_wrapper.optimizer.state[parameter]
    state["exp_avg_sq"].fill_(float("inf"))
    hook = next(h for h in runner.hooks if type(h).__name__ == "SafeCheckpointHook")
    with pytest.raises(NonFiniteLossError, match=r"exp_avg_sq of decoder\.head\.bias"):
        hook._save_checkpoint_with_step(runner, 5, {})
    assert not (tmp_path / "run/iter_5.pth").exists()


@pytest.mark.parametrize(("key", "value"), [("iter", -1), ("epoch", True), ("seed", None)])
def test_a_count_that_no_training_writes_is_refused(tmp_path, key, value):
    meta = {"cfg": "", "iter": 1, "epoch": 0, "seed": 0, key: value}
    parts = {"state_dict": {}, "optimizer": {}, "message_hub": {}}
    torch.save({"meta": meta, **parts}, tmp_path / "iter_1.pth")
    with pytest.raises(CheckpointError, match=rf"iter_1\.pth is not .* because meta\.{key} is"):
        read_training_checkpoint(tmp_path / "iter_1.pth")


def test_the_last_whole_checkpoint_before_a_damaged_one_is_named(tmp_path):
    for number in (3, 9, 11, 12, 20):
        torch.save({"a": torch.ones(100)}, tmp_path / f"iter_{number}.pth")
    for number in (11, 12):
        file = tmp_path / f"iter_{number}.pth"
        file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"earlier .*: iter_9\.pth, iter_3\.pth,") as caught:
        read_training_checkpoint(tmp_path / "iter_12.pth")
    assert advice_of(caught.value).values["checkpoint"] == tmp_path / "iter_9.pth"
    (tmp_path / "last_checkpoint").write_text("iter_30.pth")
    with pytest.raises(CheckpointError, match=r"names 'iter_30\.pth'.* from: iter_20\.pth"):
        find_checkpoint(tmp_path)


def test_an_archive_with_a_damaged_directory_is_reported_by_name(tmp_path):
    path = tmp_path / "iter_1.pth"
    torch.save({"a": torch.ones(100)}, path)
    content = bytearray(path.read_bytes())
    position = content.index(b"PK\1\2")
    content[position : position + 4] = b"PK\1\3"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"iter_1\.pth .*truncated or not a checkpoint"):
        read_training_checkpoint(path)
