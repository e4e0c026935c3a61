"""The engine ray: the same bytes as the engine local, actors that die, and runs of both engines."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

pytest.importorskip("pyarrow", reason="needs the extra label")
pytest.importorskip("ray.data", reason="needs the extra ray")

from tests.kills.killing import processes_of
from tests.labelling.runs import make_photos, shard_bytes
from tests.labelling.test_label_workers import finish, start

RAY = ("--engine", "ray", "--workers", "2")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="actors are found in /proc")
def test_a_killed_actor_is_replaced_and_the_bytes_are_those_of_the_engine_local(tmp_path):
    make_photos(tmp_path / "photos", 16)
    finish(start(tmp_path, "--out", str(tmp_path / "local")))
    run = start(tmp_path, "--out", str(tmp_path / "ray"), *RAY)
    killed = False
    while not killed and run.poll() is None:
        time.sleep(0.05)
        if list(tmp_path.glob("ray/shards/.*.attempt")):
            for actor in processes_of(os.getsid(run.pid), "ray::MapWorker")[:1]:
                os.kill(actor, signal.SIGKILL)
                killed = True
    output = finish(run)
    assert killed
    assert "16 of 16 images labelled" in output
    assert shard_bytes(tmp_path / "ray") == shard_bytes(tmp_path / "local")


@pytest.mark.slow
@pytest.mark.parametrize("engines", [(RAY, ()), ((), RAY)], ids=["ray first", "local first"])
def test_a_killed_run_is_continued_by_the_other_engine(tmp_path, engines):
    make_photos(tmp_path / "photos", 12)
    finish(start(tmp_path, "--out", str(tmp_path / "whole")))
    first, second = engines
    run = start(tmp_path, "--out", str(tmp_path / "out"), *first)
    while run.poll() is None and not list(tmp_path.glob("out/shards/shard-*")):
        time.sleep(0.02)
    run.kill()
    run.communicate()
    output = finish(start(tmp_path, "--out", str(tmp_path / "out"), *second))
    assert "resuming: " in output
    assert shard_bytes(tmp_path / "out") == shard_bytes(tmp_path / "whole")
