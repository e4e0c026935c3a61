"""Several processes on the CPU: the curve, figures and checkpoints of one, and clear endings."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch

from ovss import distributed
from ovss.cli.train import main as train_main
from ovss.data.made_up import MadeUpDataset
from ovss.data.sampler import EndlessSampler
from ovss.training.build import build_runner
from tests.tiny_training import losses, tiny_config, train

TOLERANCE = 1e-5
"""Between losses of 6 steps: sums in another order, 2e-6 at most where this was written."""

SETTING = """
train_cfg = dict(max_iters=6, val_interval=6)
train_dataloader["batch_size"] = 4
default_hooks["checkpoint"]["interval"] = 3
data_preprocessor = dict(sample_words=6)
model["criterion"] = dict(type="bce", ignore="exclude")
"""
"""Words drawn by lot and pixels left out: what a process alone would do otherwise."""

KILLER = """
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class KillHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 4 and runner.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def together(count: int, commands: list[list[str]], repo_root: Path, timeout: float = 300) -> None:
    """Run commands in `count` processes that torchrun starts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(count), "tests/processes_worker.py"]
    path = os.pathsep.join([str(repo_root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*launcher, json.dumps(commands)],
        cwd=repo_root,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def checkpoint(run: Path, step: int) -> dict:
    return torch.load(run / f"iter_{step}.pth", weights_only=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, repo_root) -> Path:
    """`one`: in this process; `ddp` and `fsdp`: in two."""
    folder = tmp_path_factory.mktemp("runs")
    config = str(tiny_config(folder, SETTING))
    train(Path(config), folder / "one")
    flags: dict[str, list[str]] = {"ddp": [], "fsdp": ["--cfg-options", "fsdp=True"]}
    weights = str(folder / "one/weights.safetensors")
    commands = [["train", config, "--work-dir", str(folder / k), *v] for k, v in flags.items()]
    figures = ["--out", str(folder / "two.json"), "--work-dir", str(folder / "test")]
    together(2, [*commands, ["test", config, weights, *figures]], repo_root)
    return folder


def test_two_processes_follow_the_curve_of_one(runs):
    one = losses(runs / "one")
    for name in ("ddp", "fsdp"):
        curve = losses(runs / name)
        assert curve.keys() == one.keys()
        assert all(abs(curve[step] - one[step]) < TOLERANCE for step in one), name


def test_pictures_one_at_a_time_make_the_same_steps_where_all_count_alike(tmp_path):
    alike = SETTING.replace('"exclude"', '"exclude", average="image"').replace(
        "max_iters=6", "max_iters=3"
    )
    config = tiny_config(tmp_path, alike)
    one = losses(train(config, tmp_path / "one"))
    single = losses(train(config, tmp_path / "single", "--micro-batch", "1"))
    assert all(abs(single[step] - one[step]) < TOLERANCE for step in one)


def test_what_shards_leave_is_whole_and_goes_on_in_one_process(runs, tmp_path):
    one, sharded = checkpoint(runs / "one", 3), checkpoint(runs / "fsdp", 3)
    assert one["state_dict"].keys() == sharded["state_dict"].keys()
    for name, value in one["state_dict"].items():
        assert sharded["state_dict"][name].shape == value.shape
        assert type(sharded["state_dict"][name]) is type(value)
    config = tiny_config(tmp_path, SETTING)
    run = tmp_path / "run"
    train(config, run, "--resume", str(runs / "fsdp/iter_3.pth"))
    curve, whole = losses(run), losses(runs / "one")
    assert sorted(curve) == [4, 5, 6]
    assert all(abs(curve[step] - whole[step]) < TOLERANCE for step in curve)


def test_what_two_processes_export_loads_in_one(runs):
    from ovss.models.build import build_segmentor
    from ovss.models.checkpoint import load_weights

    models = {}
    for name in ("one", "ddp", "fsdp"):
        models[name] = build_segmentor(str(runs / "tiny.py"), weights=None)
        load_weights(models[name], runs / name / "weights.safetensors")
    for name in ("ddp", "fsdp"):
        pairs = zip(models["one"].parameters(), models[name].parameters())
        # a gradient that is zero but for rounding steps by the learning rate, 1e-3, either way
        assert all((a - b).abs().max() < 6 * 2e-3 for a, b in pairs)


def test_two_processes_measure_what_one_measures(runs, tmp_path):
    from ovss.cli.test import main

    weights, out = str(runs / "one/weights.safetensors"), tmp_path / "one.json"
    flags = ["--out", str(out), "--work-dir", str(tmp_path / "test")]
    assert main([str(runs / "tiny.py"), weights, *flags]) == 0
    one, two = (json.loads(path.read_text()) for path in (out, runs / "two.json"))
    assert figures(one) == figures(two)


def figures(result: dict) -> dict:
    """The figures of a result file, without what differs from run to run."""
    return {
        key: result[key] for key in ("summary", "categories", "metrics", "rows") if key in result
    }


@pytest.mark.slow
def test_a_lost_process_ends_the_other_and_the_run_goes_on(tmp_path, repo_root, monkeypatch):
    (tmp_path / "killer.py").write_text(KILLER)
    hooks = "custom_hooks = [dict(type=k) for k in ('StepSeedHook', 'CurveHook', 'KillHook')]"
    often = SETTING.replace('"interval"] = 3', '"interval"] = 1') + hooks
    deadly = tiny_config(tmp_path, often, ("killer",))
    path = os.pathsep.join([str(tmp_path), str(repo_root), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "tools/train.py", str(deadly), "--launcher", "slurm"]
    command += ["--work-dir", str(tmp_path / "run")]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    pair = []
    for rank in ("0", "1"):
        slurm = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NTASKS": "2"}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, "PYTHONPATH": path, **slurm, **place}
        pair.append(
            subprocess.Popen(
                command, cwd=repo_root, env=environment, text=True, stderr=subprocess.PIPE
            )
        )
    reason = pair[1].communicate(timeout=300)[1]
    assert pair[1].returncode < 0, reason
    message = pair[0].communicate(timeout=60)[1]
    assert pair[0].returncode > 0
    assert "ProcessLostError: Rank 0 of 2 lost another rank at iteration 5" in message
    assert "iter_4.pth" in message

    config = str(tiny_config(tmp_path, SETTING))
    run = str(tmp_path / "run")
    together(2, [["train", config, "--work-dir", run, "--resume"]], repo_root)
    whole = losses(train(Path(config), tmp_path / "whole"))
    curve = losses(tmp_path / "run")
    assert curve.keys() == whole.keys()
    assert all(abs(curve[step] - whole[step]) < TOLERANCE for step in whole)


@pytest.mark.slow
def test_three_processes_measure_what_one_measures(runs, tmp_path, repo_root):
    config, weights = str(runs / "tiny.py"), str(runs / "one/weights.safetensors")
    out = tmp_path / "three.json"
    command = ["test", config, weights, "--out", str(out), "--work-dir", str(tmp_path / "test")]
    together(3, [command], repo_root)
    two, three = (json.loads(path.read_text()) for path in (runs / "two.json", out))
    assert figures(two) == figures(three)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_the_scripts_start_two_processes(tmp_path, repo_root):
    config = str(tiny_config(tmp_path, SETTING))
    path = os.pathsep.join([str(repo_root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable}
    run, out = tmp_path / "run", tmp_path / "figures.json"
    weights = str(run / "weights.safetensors")
    for words in (
        ["tools/dist_train.sh", config, "2", "--work-dir", str(run)],
        ["tools/dist_test.sh", config, weights, "2", "--out", str(out), "--work-dir", str(run)],
    ):
        done = subprocess.run(
            ["bash", *words], cwd=repo_root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(losses(run)) == 6
    assert figures(json.loads(out.read_text()))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setattr(distributed, "start", lambda *a, **k: None)
    config = tiny_config(tmp_path, "train_dataloader['batch_size'] = 4")
    with pytest.raises(ValueError, match=r"(?s)4 images a step.*3 ranks.*1 or 2 or 4.*=6"):
        train(config, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"micro_batch is 3.*does not divide the 4.*1 or 2 or 4"):
        train(config, tmp_path / "run", "--micro-batch", "3")


def test_the_whole_batch_stays_in_the_config(tmp_path, monkeypatch):
    from ovss.models.configs import load_config
    from ovss.training.runner import share_of_batch

    config = load_config(tiny_config(tmp_path, "train_dataloader['batch_size'] = 4"))
    assert share_of_batch(config.train_dataloader, config.train_cfg, 2) == 2
    runner = build_runner(config, tmp_path / "run")
    runner._world_size = 2
    assert runner.build_train_loop(runner._train_loop).dataloader.batch_size == 2
    assert runner.cfg.train_dataloader.batch_size == 4


@pytest.mark.parametrize("world", [2, 3, 4])
def test_a_step_sees_the_same_pictures_however_many_share_it(monkeypatch, world):
    dataset = MadeUpDataset(["x"], [dict(type="PackSample")], length=7)
    batch, start = 12, 5
    alone = list(islice(EndlessSampler(dataset, seed=3), batch * 8))
    together = []
    for rank in range(world):
        monkeypatch.setattr("ovss.data.sampler.get_dist_info", lambda rank=rank: (rank, world))
        sampler = EndlessSampler(dataset, seed=3)
        sampler.skip(start * batch // world)
        together.append(list(islice(sampler, 3 * batch // world)))
    for step in range(3):
        share = slice(step * batch // world, (step + 1) * batch // world)
        seen = sorted(item for part in together for item in part[share])
        assert seen == sorted(alone[(start + step) * batch : (start + step + 1) * batch])


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ("pytorch", r"needs RANK, WORLD_SIZE, LOCAL_RANK.*torchrun"),
        ("slurm", r"needs SLURM_PROCID.*srun"),
        ("mpi", r"needs OMPI_COMM_WORLD_RANK.*mpirun"),
    ],
)
def test_a_launcher_that_did_not_start_us_is_named(tmp_path, monkeypatch, launcher, message):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    words = [str(tiny_config(tmp_path)), "--work-dir", str(tmp_path), "--launcher", launcher]
    with pytest.raises(ValueError, match=message):
        train_main(words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are GPUs")
def test_nccl_without_gpus_is_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0" if name != "WORLD_SIZE" else "1")
    with pytest.raises(ValueError, match="needs GPUs"):
        distributed.start("pytorch", backend="nccl")


def test_alone_nothing_is_shared():
    values = torch.tensor([1.0, 2.0])
    assert distributed.world_size() == 1
    assert torch.equal(distributed.all_mean(values), values.double())
    assert distributed.all_max([3, 4]) == [3, 4]
    assert distributed.all_gather("x") == ["x"]
    assert not distributed.is_process_lost(RuntimeError("Connection closed by peer"))
