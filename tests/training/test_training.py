"""Training end to end: the same curve after a kill, and every way it may fail says why."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ovss.training.checkpoints
from ovss.cli.train import main
from ovss.io.files import write_atomic
from ovss.models.build import build_segmentor
from ovss.models.checkpoint import CheckpointError, load_weights
from ovss.models.configs import load_config
from ovss.training import NonFiniteLossError
from ovss.training.build import build_runner
from ovss.training.optim import NamedRules
from tests.tiny_training import losses, tiny_config, train

KILLER = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class KillHook(Hook):
    priority = "LOWEST"
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 8:
            os.kill(os.getpid(), signal.SIGKILL)
"""

FRAGILE = """
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures
from ovss.testing import TinyEncoder

@TRANSFORMS.register_module(force=True)
class Whiten(BaseTransform):
    def transform(self, results):
        if results["img_path"].endswith("000003"):
            results["img"] = np.full_like(results["img"], 255)
        return results

@ENCODERS.register_module(force=True)
class FragileEncoder(TinyEncoder):
    def encode_image(self, image_B3HW):
        image = super().encode_image(image_B3HW)
        white_B111 = (image_B3HW == 255).flatten(1).all(1)[:, None, None, None]
        dense = image.dense_BChw.masked_fill(white_B111, float("nan"))
        return ImageFeatures(dense, image.pooled_BC, image.levels)
"""


def plugin(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


def test_a_killed_run_resumes_to_the_same_curve(tmp_path, monkeypatch, repo_root):
    length = "train_cfg = dict(max_iters=12, val_interval=5)\n"
    length += "default_hooks = dict(checkpoint=dict(interval=6))\n"
    whole = losses(train(tiny_config(tmp_path, length), tmp_path / "whole"))
    assert len(whole) == 12
    assert len(set(whole.values())) == 12

    (tmp_path / "killed").mkdir()
    hook = (
        "custom_hooks = [dict(type='StepSeedHook'), dict(type='CurveHook'), dict(type='KillHook')]"
    )
    plugin(tmp_path, "killer", KILLER, monkeypatch)
    deadly = tiny_config(tmp_path / "killed", length + hook, ("killer",))
    command = [sys.executable, "tools/train.py", str(deadly), "--work-dir", str(tmp_path / "part")]
    path = os.pathsep.join([str(tmp_path), str(repo_root), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        command, cwd=repo_root, env={**os.environ, "PYTHONPATH": path}, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert max(losses(tmp_path / "part")) == 8

    # another seed in the config: the checkpoint's own counts
    config = tiny_config(tmp_path, f"{length}randomness = dict(seed=7)\n")
    resumed = losses(train(config, tmp_path / "part", "--resume"))
    assert resumed == whole
    ends = [
        torch.load(tmp_path / run / "iter_12.pth", weights_only=False)["state_dict"]
        for run in ("whole", "part")
    ]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert (tmp_path / "part" / "curve.png").stat().st_size > 1000


def test_training_leaves_weights_that_load_and_what_was_run(tmp_path):
    config = tiny_config(tmp_path)
    run = train(config, tmp_path / "run", "--amp", "--cfg-options", "train_cfg.val_interval=4")
    model = build_segmentor(str(config), weights=None)
    before = model.decoder.embed.weight.clone()
    notes = load_weights(model, run / "weights.safetensors")
    assert notes["config"] == "tiny"
    assert not torch.equal(before, model.decoder.embed.weight)
    assert '"seed": 0' in (run / "run.json").read_text()
    assert list((run / "images").rglob("*.png"))
    assert [p.name for p in sorted(run.glob("iter_*.pth"))] == ["iter_3.pth", "iter_4.pth"]
    assert len(losses(run)) == 4
    assert losses(run) != losses(train(config, tmp_path / "exact"))


def test_another_seed_is_another_run_and_the_same_seed_the_same(tmp_path):
    config = tiny_config(tmp_path, "train_cfg = dict(max_iters=2, val_interval=100)")
    a, b, c = (
        losses(train(config, tmp_path / name, "--seed", seed))
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    assert a == b
    assert a != c


def test_a_loss_that_is_not_finite_stops_and_names_the_image(tmp_path, monkeypatch):
    name = plugin(tmp_path, "fragile", FRAGILE, monkeypatch)
    more = (
        "model['encoder']['type'] = 'FragileEncoder'\n"
        "train_dataloader['dataset']['pipeline'] = [dict(type='Whiten'), dict(type='PackSample')]\n"
        "train_cfg['max_iters'] = 9"
    )
    config = tiny_config(tmp_path, more, (name,))
    with pytest.raises(NonFiniteLossError) as caught:
        train(config, tmp_path / "run", "--seed", "3")
    message = str(caught.value)
    assert "The loss is nan at iteration" in message
    assert "-000003." in message
    assert message.count("mini_world/") == 1, "only the image with the broken loss is named"
    done = max(losses(tmp_path / "run"), default=0)
    assert f"at iteration {done + 1}," in message
    if done:
        saved = torch.load(tmp_path / f"run/iter_{done}.pth", weights_only=False)["state_dict"]
        assert all(value.isfinite().all() for value in saved.values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    config = load_config(tiny_config(tmp_path))
    runner = build_runner(config, tmp_path / "run")
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == "SafeCheckpointHook")
    with torch.no_grad():
        runner.model.decoder.head.bias.fill_(float("inf"))
    with pytest.raises(NonFiniteLossError, match=r"decoder\.head\.bias.*nothing was saved.*iter_4"):
        hook._save_checkpoint_with_step(runner, 5, {})
    assert not (tmp_path / "run/iter_5.pth").exists()


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    def full(path, write):
        if Path(path).name == "iter_3.pth":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_atomic(path, write)

    monkeypatch.setattr(ovss.training.checkpoints, "write_atomic", full)
    keep = "default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))"
    config = tiny_config(tmp_path, keep)
    with pytest.raises(OSError, match=r"No space left.*MiB free.*resume the training.*iter_3\.pth"):
        train(config, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").glob("*.pth")] == ["iter_2.pth"]
    assert not list((tmp_path / "run").glob("*.tmp"))
    monkeypatch.undo()
    train(config, tmp_path / "run", "--resume")
    assert [p.name for p in (tmp_path / "run").glob("*.pth")] == ["iter_4.pth"]
    assert losses(tmp_path / "run") == losses(train(config, tmp_path / "unbroken"))


def test_a_working_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"(?s)cannot write into the working directory.*--work-dir"):
        train(tiny_config(tmp_path), tmp_path / "file" / "run")


def test_a_truncated_checkpoint_names_earlier_ones(tmp_path):
    config = tiny_config(tmp_path)
    run = train(config, tmp_path / "run")
    last = run / "iter_4.pth"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"iter_4\.pth.*truncated.*iter_3\.pth"):
        train(config, run, "--resume")
    train(config, run, "--resume", str(run / "iter_3.pth"))
    assert max(losses(run)) == 4
    with pytest.raises(CheckpointError, match=r"none\.pth does not exist"):
        train(config, run, "--resume", str(run / "none.pth"))


def test_weights_alone_are_not_a_checkpoint_to_resume_from(tmp_path):
    config = tiny_config(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"no training state.*load_from"):
        train(config, tmp_path / "run", "--resume", str(tmp_path / "bare.pth"))


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ("optim_wraper.amp=1", KeyError, "Did you mean 'optim_wrapper'"),
        ("train_dataloader.dataset.lenght=3", TypeError, "lenght.*'length'.*MiniWorldDataset"),
        ("train_cfg.max_iter=3", TypeError, "TrainLoop.*max_iter"),
        ("model.decoder.dims=3", TypeError, "CATSegDecoder.*dims"),
        ("val_evaluator.sen=a", TypeError, "OpenVocabIoU.*sen"),
        ("train_dataloader.dataset.vocabulary=mini_21", KeyError, "mini_21"),
        ("default_hooks.checkpoint.intervall=3", TypeError, "CheckpointHook.*intervall"),
        ("matmul_precision=hi", ValueError, "highest or high or medium, got 'hi'"),
        ("ema=0.1", ValueError, r"ema must be True, False or dict\(...\) of its options, got 0.1"),
        ("gradient_checkpointing=1", ValueError, "False or patterns of module names, got 1"),
        ("train_dataloader.batch_size=0", ValueError, "batch_size must be at least 1, got 0"),
        ("optim_wrapper.type=OptimWrapper", TypeError, "with GuardedOptimWrapper.*IterBased"),
    ],
)
def test_unknown_keys_and_names_are_errors(tmp_path, option, error, message):
    with pytest.raises(error, match=message):
        train(tiny_config(tmp_path), tmp_path / "run", "--cfg-options", option)


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_what_has_nothing_to_train_says_so(tmp_path, flags):
    with pytest.raises(ValueError, match=r"sclip_mini.*no train_cfg, optim_wrapper.*ovss test"):
        main(["sclip_mini", "--work-dir", str(tmp_path), *flags])


def test_rules_by_name_hit_what_they_say():
    config = load_config("cat_seg_mini", {"model.encoder.pretrained": None})
    model = build_segmentor(config, weights=None)
    wrapper = {"type": "OptimWrapper", "optimizer": dict(type="AdamW", lr=1.0, weight_decay=0.5)}
    rules = dict(custom_keys=dict(encoder=dict(lr_mult=0.01)), norm_decay_mult=0.0)
    groups = NamedRules(wrapper, rules).groups(model)
    counts = {(g["lr"], g["weight_decay"]): sum(p.numel() for p in g["params"]) for g in groups}
    # q and v of six blocks of width 192 and three of width 64
    assert counts[0.01, 0.5] == 6 * 2 * 192**2 + 3 * 2 * 64**2
    norms = [m for m in model.decoder.modules() if "Norm" in type(m).__name__]
    assert counts[1.0, 0.0] == sum(p.numel() for m in norms for p in m.parameters())
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert len(counts) == 3


def test_a_rule_that_matches_nothing_is_an_error():
    wrapper = {"type": "OptimWrapper", "optimizer": dict(type="AdamW", lr=1.0)}
    with pytest.raises(ValueError, match=r"backbone.*match no trainable parameter.*0"):
        NamedRules(wrapper, dict(custom_keys=dict(backbone=dict(lr_mult=0)))).groups(
            torch.nn.Sequential(torch.nn.Linear(2, 2))
        )
    with pytest.raises(TypeError, match="lr_mul"):
        NamedRules(wrapper, dict(custom_keys={"0": dict(lr_mul=0)}))


def test_nothing_to_resume_is_said(tmp_path):
    build_runner(load_config(tiny_config(tmp_path)), tmp_path / "run", resume="auto")
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert f"no checkpoint in {tmp_path / 'run'} to resume from" in log.read_text()
