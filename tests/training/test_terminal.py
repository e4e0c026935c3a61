"""Commands print what matters; the log file has everything; mistakes come before the model."""

from __future__ import annotations

import json
import logging
import math

import pytest
from mmengine.logging import MMLogger

from ovss.cli.test import main as evaluate_main
from ovss.cli.train import main as train_main
from ovss.io.terminal import echo, limit_terminal, say, verbose_terminal
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.training.build import build_runner
from ovss.training.hooks import CurveHook, read_curve
from ovss.training.terminal import TerminalHook
from tests.tiny_training import tiny_config, train

PAGE = b"<html><title>404</title></html>"


def log_of(run):
    (log,) = run.glob("*/*.log")
    return log.read_text()


def test_training_prints_little_and_logs_everything(tmp_path, capsys):
    config = tiny_config(tmp_path, "train_cfg = dict(max_iters=4, val_interval=2)")
    run = train(config, tmp_path / "run")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) < 40
    assert lines[0].startswith("training tiny: ")
    assert "MiniWorldDataset, 6 images, " in lines[1]
    assert "4 iterations of 2 images, cpu, float32, seed 0" in lines[2]
    assert str(run) in lines[3]
    assert "iteration 1 of 4: loss 0." in out
    assert "lr 1.00e-03" in out
    assert "s per iteration, 0:00 left" in out
    assert out.count("validation after iteration") == 2
    assert out.count("  mIoU_unseen ") == 2
    assert lines[-1] == f"trained weights: {run / 'weights.safetensors'}"
    assert "System environment" not in out + err
    log = log_of(run)
    assert all(text in log for text in ("System environment", "Config:", "Hooks will", lines[0]))


def test_verbose_prints_the_whole_log(tmp_path, capsys):
    train(tiny_config(tmp_path, "train_cfg = dict(max_iters=1)"), tmp_path / "run", "--verbose")
    out = capsys.readouterr().out
    assert all(text in out for text in ("System environment", "Config:", "training tiny"))


def test_a_test_prints_what_is_evaluated_and_the_table_once(tmp_path, capsys):
    config = tiny_config(tmp_path)
    evaluate_main([str(config), "none", "--work-dir", str(tmp_path / "run")])
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "evaluating tiny on mini_20 (4 images), weights none, cpu"
    assert out.count("quoted: mIoU") == 1
    assert lines[-1].startswith("protocol: ")
    assert "System environment" not in out
    assert "System environment" in log_of(tmp_path / "run")


@pytest.fixture
def no_model(monkeypatch):
    def built(*_):
        raise AssertionError("the model was built")

    monkeypatch.setattr("ovss.training.runner.build_model", built)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_missing_data_is_reported_before_the_model_is_built(tmp_path, capsys, no_model, part):
    missing = dict(_delete_=True, type="ImageMaskDataset", images="gone/images", masks="gone/masks")
    missing.update(vocabulary=["a"], pipeline=[dict(type="PackSample")])
    more = f"{part}_dataloader['dataset'] = {missing}"
    config = tiny_config(tmp_path, more)
    command, weights = (evaluate_main, ["none"]) if part == "test" else (train_main, [])
    with pytest.raises(FileNotFoundError, match="gone"):
        command([str(config), *weights, "--work-dir", str(tmp_path / "run")])
    assert capsys.readouterr() == ("", "")


def test_missing_and_false_weights_are_reported_before_the_model_is_built(
    tmp_path, capsys, no_model
):
    config = tiny_config(tmp_path)
    (tmp_path / "page.pth").write_bytes(PAGE)
    for name, error in (("none.pth", FileNotFoundError), ("page.pth", CheckpointError)):
        path = str(tmp_path / name)
        with pytest.raises(error, match=name):
            evaluate_main([str(config), path, "--work-dir", str(tmp_path / "run")])
        with pytest.raises(error, match=name):
            train(config, tmp_path / "run", "--cfg-options", f"load_from={path}")
    assert capsys.readouterr() == ("", "")


def test_warnings_reach_the_terminal_and_other_ranks_stay_silent(capsys, tmp_path):
    logger = MMLogger(f"a-{tmp_path.name}", log_file=str(tmp_path / "a.log"))
    limit_terminal(logger)
    logger.info("banner")
    say(logger, "progress")
    echo(logger, "table")
    logger.warning("careful")
    logger.warning("The prefix is not set in metric class X.")
    assert capsys.readouterr() == ("progress\ntable\n", "warning: careful\n")
    log = (tmp_path / "a.log").read_text()
    assert all(text in log for text in ("banner", "progress", "careful", "The prefix"))
    assert "table" not in log
    other = MMLogger(f"b-{tmp_path.name}", log_level="INFO")
    other.handlers[0].setLevel(logging.ERROR)  # as mmengine sets it on ranks above 0
    limit_terminal(other)
    say(other, "progress")
    echo(other, "table")
    other.error("broken")
    assert capsys.readouterr() == ("", "error: broken\n")
    with verbose_terminal():
        everything = MMLogger(f"c-{tmp_path.name}")
        limit_terminal(everything)
        everything.info("banner")
        echo(everything, "banner")
    assert capsys.readouterr().out.count("banner") == 1


def test_a_metric_that_is_undefined_is_null_in_the_curve(tmp_path, capsys):
    runner = build_runner(load_config(tiny_config(tmp_path)), tmp_path / "run")
    hook = CurveHook()
    hook.before_train(runner)
    hook.after_val_epoch(runner, {"mIoU": 3.0, "mIoU_unseen": math.nan})
    (line,) = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    runner.visualizer.add_scalars({"loss": 1.0, "mIoU_unseen": math.nan}, 3)
    (scalars,) = (tmp_path / "run").glob("*/vis_data/scalars.json")
    logged = json.loads(scalars.read_text(), parse_constant=refuse)
    assert (logged["loss"], logged["mIoU_unseen"]) == (1.0, None)
    row = json.loads(line, parse_constant=refuse)
    assert row == {"iter": 0, "val_mIoU": 3.0, "val_mIoU_unseen": None}
    (read,) = read_curve(tmp_path / "run" / "curve.jsonl")
    assert math.isnan(read["val_mIoU_unseen"])
    TerminalHook().after_val_epoch(runner, {"mIoU": 3.0, "mIoU_unseen": math.nan})
    assert "mIoU_unseen  undefined" in capsys.readouterr().out
