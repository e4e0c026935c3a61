"""Curves in TensorBoard, MLflow and Weights & Biases are those of the run's own log."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

import ovss.training.tracking.choice as choice
from ovss.__main__ import main
from ovss.models.configs import load_config
from ovss.protocols.settled import settle_protocol
from ovss.training.build import build_runner
from ovss.training.curve import read_curve
from ovss.training.tracking.hook import TrackingHook
from ovss.training.tracking.start import tracked_run
from ovss.training.tracking.tracker import Sent, TrackedRun, Tracker, scalars_of
from ovss.training.tracking.wandb import WandbTracker
from tests.test_distributed import together
from tests.tiny_training import losses, tiny_config, train
from tests.training.test_training import KILLER, plugin
from tests.training.wandb_files import read_offline

LENGTH = "train_cfg = dict(max_iters=12, val_interval=5)\n"
LENGTH += "default_hooks = dict(checkpoint=dict(interval=6))\n"
LENGTH += "protocol = 'mini'\n"
SINGLE = 1e-6
"""Relative tolerance of numbers that TensorBoard stores in single precision."""


def needs(package: str) -> pytest.MarkDecorator:
    is_missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(is_missing, reason=f"needs the extra {package}")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """No tracker sends anything, and none reads settings of this machine."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


Points = dict[str, dict[int, float]]


def points_of(work_dir: Path) -> Points:
    """Name -> iteration -> value in the run's own log, under the names of trackers."""
    points: Points = {}
    for row in read_curve(work_dir / "curve.jsonl"):
        for name, value in scalars_of(row).items():
            points.setdefault(name, {})[int(row["iter"])] = value
    return points


def in_tensorboard(work_dir: Path) -> tuple[Points, str]:
    """Points as TensorBoard shows them, none of them twice, and all texts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(work_dir / "tracking/tensorboard"))
    reader.Reload()
    points: Points = {}
    for name in reader.Tags()["scalars"]:
        events = reader.Scalars(name)
        points[name] = {event.step: event.value for event in events}
        assert len(points[name]) == len(events), f"{name} has a step twice"
    texts = [
        value.decode()
        for name in reader.Tags()["tensors"]
        for event in reader.Tensors(name)
        for value in event.tensor_proto.string_val
    ]
    return points, "\n".join(texts)


def in_mlflow(uri: str) -> tuple[Points, dict[str, str], list[str]]:
    """Points, parameters and the states of all runs in the experiment ovss."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("ovss").experiment_id])
    points: Points = {}
    for name in runs[0].data.metrics:
        history = client.get_metric_history(runs[0].info.run_id, name)
        points[name] = {metric.step: metric.value for metric in history}
        assert len(points[name]) == len(history), f"{name} has a step twice"
    return points, runs[0].data.params, [run.info.status for run in runs]


def local_store(work_dir: Path) -> str:
    return (work_dir.absolute() / "tracking/mlflow").as_uri()


def assert_equal(points: Points, expected: Points, tolerance: float = 0.0) -> None:
    assert points.keys() == expected.keys()
    for name, values in expected.items():
        assert list(points[name]) == list(values), name
        np.testing.assert_allclose(
            list(points[name].values()), list(values.values()), rtol=tolerance, err_msg=name
        )


def killed_and_resumed(folder: Path, names: str, monkeypatch, root: Path) -> Path:
    """Working directory of a training that is killed after step 8 and resumed from step 6."""
    (folder / "killed").mkdir()
    hooks = "custom_hooks = [dict(type='StepSeedHook'), dict(type='CurveHook'), "
    hooks += "dict(type='KillHook')]"
    plugin(folder, "killer", KILLER, monkeypatch)
    deadly = tiny_config(folder / "killed", LENGTH + hooks, ("killer",))
    work_dir = folder / "run"
    command = [sys.executable, "-m", "ovss", "train", str(deadly), "--work-dir", str(work_dir)]
    path = os.pathsep.join([str(folder), str(root), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [*command, "--track", names],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    train(tiny_config(folder, LENGTH), work_dir, "--resume", "--track", names)
    return work_dir


def test_rows_are_named_and_progress_counts_both_kinds():
    step, validation = {"iter": 4, "loss": 1.0, "lr": 0.5}, {"iter": 4, "val_mIoU": 2.0}
    sent = Sent(4, 2)
    assert sent.holds(step)
    assert not sent.holds(validation)
    assert sent.after([validation, {"iter": 5, "loss": 1.0}]) == Sent(5, 4)
    assert scalars_of({"iter": 1, "loss": float("inf"), "lr": 0.5}) == {"train/lr": 0.5}


@needs("tensorboard")
def test_tensorboard_shows_the_curve_of_a_killed_and_resumed_run(tmp_path, monkeypatch, repo_root):
    run = killed_and_resumed(tmp_path, "tensorboard", monkeypatch, repo_root)
    points, texts = in_tensorboard(run)
    assert_equal(points, points_of(run), SINGLE)
    assert {"train/loss", "train/lr", "val/mIoU", "val/mIoU_unseen"} <= points.keys()
    assert list(points["train/loss"]) == list(range(1, 13))
    assert list(points["val/mIoU"]) == [5, 10, 12]
    protocol = settle_protocol(load_config(str(tmp_path / "tiny.py")))
    for text in (protocol.full_hash, protocol.method_hash, "| train_cfg.max_iters | 12 |"):
        assert text in texts
    plain = train(tmp_path / "tiny.py", tmp_path / "plain")
    assert losses(plain) == losses(run), "a tracker changes nothing"
    assert not (plain / "tracking").exists()


@needs("tensorboard")
def test_a_new_run_in_the_folder_replaces_the_curve(tmp_path):
    config = tiny_config(tmp_path)
    for seed in ("1", "2"):
        run = train(config, tmp_path / "run", "--track", "tensorboard", "--seed", seed)
    points, _ = in_tensorboard(run)
    assert_equal(points, points_of(run), SINGLE)


@needs("tensorboard")
def test_a_tracker_that_is_added_later_gets_the_whole_curve(tmp_path):
    config = tiny_config(tmp_path, LENGTH)
    run = train(config, tmp_path / "run", "--cfg-options", "train_cfg.max_iters=6")
    train(config, run, "--resume", "--track", "tensorboard")
    points, _ = in_tensorboard(run)
    assert_equal(points, points_of(run), SINGLE)
    assert len(points["train/loss"]) == 12


@needs("tensorboard")
def test_only_the_first_rank_writes(tmp_path, repo_root):
    config = tiny_config(tmp_path, "train_dataloader = dict(batch_size=2)\ntrack = 'tensorboard'")
    run = tmp_path / "run"
    together(2, [["train", str(config), "--work-dir", str(run)]], repo_root)
    points, _ = in_tensorboard(run)
    assert_equal(points, points_of(run), SINGLE)
    assert len(list((run / "tracking/tensorboard").iterdir())) == 1


@needs("mlflow")
def test_mlflow_shows_the_curve_of_a_killed_and_resumed_run(tmp_path, monkeypatch, repo_root):
    run = killed_and_resumed(tmp_path, "mlflow", monkeypatch, repo_root)
    points, params, states = in_mlflow(local_store(run))
    assert_equal(points, points_of(run))
    assert states == ["FINISHED"], "the resumed run is the same run"
    protocol = settle_protocol(load_config(str(tmp_path / "tiny.py")))
    assert params["protocol.full_hash"] == protocol.full_hash
    assert params["protocol.name"] == protocol.name
    assert params["train_cfg.max_iters"] == "12"
    assert not [name for name in params if name.startswith(("track", "experiment_name"))]
    names = {path.name for path in (run / "tracking/mlflow").rglob("config*.py")}
    assert names == {"config.py", "config_from_6.py"}
    assert "MLFLOW_TRACKING_URI" not in os.environ


@needs("mlflow")
def test_mlflow_marks_a_run_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    config = load_config(tiny_config(tmp_path))
    config.track = {"mlflow": {"run": "first"}}
    runner = build_runner(config, tmp_path / "run")
    monkeypatch.setattr(runner.optim_wrapper, "step", None, raising=False)
    runner.train_loop.run_iter = None
    with pytest.raises(TypeError):
        runner.train()
    assert in_mlflow((tmp_path / "store").as_uri())[2] == ["FAILED"]
    assert not (tmp_path / "run/tracking/mlflow").exists()


@needs("wandb")
def test_wandb_holds_the_curve_of_a_killed_and_resumed_run(tmp_path, monkeypatch, repo_root):
    run = killed_and_resumed(tmp_path, "wandb", monkeypatch, repo_root)
    rows, settings, identities = read_offline(run / "tracking")
    assert len(identities) == 1, "the resumed run is the same run"
    points: Points = {}
    for row in rows:
        for name, value in row.items():
            if "/" in name:
                assert row["_step"] == 2 * row["iteration"] + name.startswith("val/")
                points.setdefault(name, {})[row["iteration"]] = value
    assert_equal(points, points_of(run))
    protocol = settle_protocol(load_config(str(tmp_path / "tiny.py")))
    assert settings["protocol.full_hash"] == protocol.full_hash
    assert settings["train_cfg.max_iters"] == 12


@pytest.mark.parametrize(
    ("steps", "sent"), [(0, Sent(3, 2)), (9, Sent(4, 3)), (10, Sent(4, 4)), (11, Sent(5, 4))]
)
def test_wandb_continues_after_the_last_row_that_its_server_holds(steps, sent):
    tracker = WandbTracker()
    tracker._run = SimpleNamespace(starting_step=steps, define_metric=lambda *_, **__: None)
    assert tracker.begin(Sent(3, 2), 4) == sent


class Unreliable(Tracker):
    """Tracker whose service cannot be reached at the first attempts."""

    name, package = "unreliable", "json"

    def __init__(self, failures: int) -> None:
        self.failures, self.rows, self.ends = failures, [], []

    def open(self, run: TrackedRun) -> str:
        return run.identity or "first"

    def begin(self, sent: Sent, iteration: int) -> Sent:
        return sent

    def write(self, rows) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise ConnectionError("the service is away")
        self.rows += rows

    def close(self, complete: bool) -> None:
        self.ends.append(complete)


def tracked(tmp_path: Path, tracker: Tracker, resume: str | None = None) -> Path:
    """Working directory of a training with a tracker that no config can name."""
    runner = build_runner(load_config(tiny_config(tmp_path)), tmp_path / "run", resume=resume)
    run = TrackedRun("run", tmp_path / "run/tracking", "")
    runner.tracking = TrackingHook([tracker], tmp_path / "run", run, resume is not None)
    runner.register_hook(runner.tracking)
    runner.train()
    return tmp_path / "run"


def test_rows_arrive_after_an_outage_and_the_training_goes_on(tmp_path):
    tracker = Unreliable(failures=1)
    run = tracked(tmp_path, tracker)
    assert list(tracker.rows) == read_curve(run / "curve.jsonl")
    assert tracker.ends == [True]
    (log,) = run.glob("*/*.log")
    assert "the service is away" in log.read_text()


def test_rows_that_were_never_sent_are_sent_by_a_resumed_run(tmp_path):
    run = tracked(tmp_path, Unreliable(failures=100))
    assert "rows of the curve were not sent" in next(run.glob("*/*.log")).read_text()
    assert not (run / "tracking/state.json").exists()
    again = Unreliable(failures=0)
    tracked(tmp_path, again, resume="auto")
    assert list(again.rows) == read_curve(run / "curve.jsonl")
    state = json.loads((run / "tracking/state.json").read_text())
    assert (
        state == {"unreliable": {"run": "first", "train": 4, "val": 4}}
        or state["unreliable"]["train"] == 4
    )


@pytest.mark.parametrize("text", ["", "[]", "{", '{"unreliable": {"run": 3}}', '{"unreliable": 1}'])
def test_a_damaged_state_begins_the_curve_again(tmp_path, text):
    run = tracked(tmp_path, Unreliable(failures=0))
    (run / "tracking/state.json").write_text(text)
    again = Unreliable(failures=0)
    tracked(tmp_path, again, resume="auto")
    assert list(again.rows) == read_curve(run / "curve.jsonl")


def test_a_training_is_tracked_without_its_test_data(tmp_path):
    config = load_config(tiny_config(tmp_path))
    protocol = settle_protocol(config, "mini")
    known = tracked_run(config, tmp_path / "run", "mini").settings
    assert known["protocol.full_hash"] == protocol.full_hash
    config.test_dataloader.dataset = {"type": "ADE20KDataset", "data_root": str(tmp_path / "none")}
    settings = tracked_run(config, tmp_path / "run", "mini").settings
    assert settings["protocol.name"] == "mini"
    assert "protocol.full_hash" not in settings


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_one_line_before_training(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(choice, "find_spec", lambda package: None)
    flags = ["--work-dir", str(tmp_path / "run"), "--track", name]
    assert main(["train", str(tiny_config(tmp_path)), *flags]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert f"pip install 'ovss[{name}]'" in line
    assert not list((tmp_path / "run").glob("*/*.log"))


@needs("mlflow")
def test_a_server_that_cannot_be_reached_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = tiny_config(tmp_path, "track = dict(mlflow=dict(uri='http://127.0.0.1:9'))")
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run")]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "MLflow at http://127.0.0.1:9 cannot be used" in line


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tensorbord", "Did you mean 'tensorboard'"),
        (["mlflow", 3], "track must be"),
        ([], "track must be"),
        ({"mlflow": 3}, r"track\.mlflow must be dict"),
        ({"mlflow": {"url": "x"}}, r"track\.mlflow\.url.*'uri'"),
        ({"wandb": {"project": 3}}, r"track\.wandb\.project"),
        ({"tensorboard": {"x": 1}}, r"track\.tensorboard\.x"),
    ],
)
def test_a_mistake_in_track_names_the_key(value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        choice.check_track(Config({"track": value}))


def test_the_flag_chooses_names_and_keeps_options_of_the_config():
    config = Config({"track": {"mlflow": {"uri": "x"}, "wandb": {}}})
    choice.choose_trackers(config, "tensorboard, mlflow")
    assert config.track == {"tensorboard": {}, "mlflow": {"uri": "x"}}


def test_a_dry_run_tracks_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = tiny_config(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(config), "--dry-run", "--steps", "1", "--track", "mlflow"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert main(["train", str(config), "--dry-run", "--track", "mlfow"]) == 1
    assert "Did you mean 'mlflow'" in capsys.readouterr().err
