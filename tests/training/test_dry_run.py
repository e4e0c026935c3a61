"""Dry runs: they build everything, need no files, leave no files, and report time and memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ovss.cli.train import main
from ovss.data.made_up import MadeUpDataset
from ovss.models.configs import load_config
from ovss.training.dry_run import dry_run
from tests.tiny_training import tiny_config

FILES = """
train_dataloader["dataset"] = dict(
    _delete_=True, type="ImageMaskDataset", images="nowhere", masks="nowhere",
    vocabulary=["sky", "road", "cat"], seen=["sky", "cat"], only_seen=True,
    pipeline=[
        dict(type="ShortestEdge", size=64, max_size=200),
        dict(type="RandomCrop", crop_size=(64, 64)),
        dict(type="ColorAugSSD"),
        dict(type="PackSample"),
    ],
)
model["encoder"]["image_size"] = 64
train_cfg["max_iters"] = 3600
"""


def test_it_needs_no_data_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = tiny_config(tmp_path, FILES)
    before, cache = sorted(tmp_path.rglob("*")), os.environ.get("OVSS_CACHE_DIR")
    assert main([str(config), "--dry-run", "--steps", "3", "--micro-batch", "1"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert os.environ.get("OVSS_CACHE_DIR") == cache
    printed = capsys.readouterr().out
    assert "2 images of 64 x 64, 2 categories" in printed
    assert "3,600 steps" in printed
    assert "GiB at the peak" in printed


def test_the_hours_are_the_later_steps_times_the_schedule(tmp_path):
    result = dry_run(load_config(tiny_config(tmp_path, FILES)), steps=3, amp="bfloat16")
    assert len(result.seconds) == 3
    assert result.step_seconds == pytest.approx(sum(result.seconds[1:]) / 2)
    assert result.hours == pytest.approx(result.step_seconds)  # 3,600 steps
    assert result.peak > 0
    assert (result.precision, result.ranks, result.batch_size) == ("bfloat16", 1, 2)
    assert result.trainable <= result.parameters


def test_what_comes_from_outside_is_left_out_and_named():
    config = load_config("cat_seg_mini", {"train_dataloader.batch_size": 1})
    result = dry_run(config, steps=1)
    assert result.omitted == ("model.encoder.pretrained",)
    assert "weights are random" in str(result)
    assert config.model.encoder.pretrained is not None, "the config stays as it is"


def test_no_steps_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        dry_run(load_config(tiny_config(tmp_path)), steps=0)


def test_flags_that_a_dry_run_and_a_training_do_not_share(tmp_path, capsys):
    for flags in (["--steps", "3"], ["--dry-run", "--resume"]):
        with pytest.raises(SystemExit):
            main([str(tiny_config(tmp_path)), *flags])
        assert f"error: {flags[0]}" in capsys.readouterr().err


def test_the_seed_is_that_of_the_dry_run_too(tmp_path):
    config = load_config(tiny_config(tmp_path))
    a, b, c = (dry_run(config, steps=1, seed=seed).loss for seed in (1, 1, 2))
    assert a == b != c


def test_synthetic_images_follow_from_the_seed():
    pack = [dict(type="PackSample")]
    a, b = (MadeUpDataset(["x", "y", "z"], pack, size=(48, 60), seed=1) for _ in range(2))
    first = a[3]
    assert first["inputs"].shape == (3, 48, 60)
    assert (first["inputs"] == b[3]["inputs"]).all()
    labels = first["data_samples"].gt_sem_seg.data
    assert 0 <= int(labels.min()) <= int(labels.max()) <= 2
    assert (first["inputs"] != a[4]["inputs"]).any()


def test_scripts_are_thin(repo_root: Path):
    for name in ("dist_train", "dist_test", "slurm_train", "slurm_test"):
        script = repo_root / f"tools/{name}.sh"
        assert os.access(script, os.X_OK), script


@pytest.mark.parametrize(
    "words",
    [["train"], ["train", "CONFIG", "--amp"], ["test", "CONFIG", "2"], ["test", "C", "W", "0"]],
)
def test_scripts_without_a_number_of_gpus_say_how_they_are_used(repo_root, words):
    script, *arguments = words
    command = ["bash", str(repo_root / f"tools/dist_{script}.sh"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"tools/dist_{script}.sh CONFIG" in done.stderr


def test_slurm_scripts_hand_on_what_they_get(tmp_path, repo_root, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GPUS", "16")
    monkeypatch.setenv("SRUN_ARGS", "--quotetype=spot --nodelist=a")
    for script, words in (
        ("slurm_train.sh", ["part", "job", "CONFIG", "--amp"]),
        ("slurm_test.sh", ["part", "job", "CONFIG", "WEIGHTS", "--on", "a b"]),
    ):
        command = ["bash", str(repo_root / "tools" / script), *words]
        passed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
        assert {"--partition=part", "--job-name=job", "--ntasks=16", "--gres=gpu:8"} <= set(passed)
        assert {"--quotetype=spot", "--nodelist=a", "--kill-on-bad-exit=1"} <= set(passed)
        before, flags = (words[2:3], words[3:]) if "train" in script else (words[2:4], words[4:])
        assert passed[passed.index("CONFIG") :] == [*before, "--launcher", "slurm", *flags, ""]
        short = subprocess.run(command[:3], capture_output=True, text=True)
        assert short.returncode == 2
        assert f"tools/{script} PARTITION JOB_NAME CONFIG" in short.stderr
