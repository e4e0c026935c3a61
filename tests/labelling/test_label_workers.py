"""Worker processes that die, images that kill them, and two runs in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("pyarrow", reason="needs the extra label")

from ovss.labelling.attempts import DEATHS, Attempt
from ovss.labelling.shard_files import SHARD_FOLDER
from tests.kills.killing import processes_of
from tests.labelling.runs import MODEL, make_photos, rows_of, shard_bytes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")


def start(folder: Path, *flags: str, script: str = "") -> subprocess.Popen:
    program = [str(Path(__file__).parent / script)] if script else ["-m", "ovss"]
    command = [sys.executable, *program, "label", str(folder / "photos"), *MODEL]
    command += ["--shard-size", "2", *flags]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen) -> str:
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    return output


@LINUX
def test_a_killed_worker_is_replaced_and_two_runs_share_the_work(tmp_path):
    make_photos(tmp_path / "photos", 24)
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    finish(start(tmp_path, "--out", str(whole), "--workers", "1"))
    runs = [start(tmp_path, "--out", str(shared), "--workers", "1") for _ in range(2)]
    kills = 0
    while kills < 3 and any(run.poll() is None for run in runs):
        time.sleep(0.2)
        working = list(shared.glob("shards/.*.attempt"))
        for child in (
            processes_of(runs[kills % 2].pid, "spawn_main", children=True) if working else []
        ):
            os.kill(child, signal.SIGKILL)
            kills += 1
    outputs = [finish(run) for run in runs]
    assert kills
    assert all("24 of 24 images labelled" in output for output in outputs)
    assert shard_bytes(shared) == shard_bytes(whole)
    assert [row["image_id"] for row in rows_of(shared)] == list(range(24))
    assert not [path for path in (shared / SHARD_FOLDER).iterdir() if path.name.startswith(".")]


def test_an_image_that_kills_its_worker_gets_a_row(tmp_path):
    make_photos(tmp_path / "photos", 4)
    Image.new("RGB", (64, 64), "white").save(tmp_path / "photos" / "white.png")
    Image.new("RGB", (64, 64), "black").save(tmp_path / "photos" / "black.png")
    process = start(
        tmp_path, "--out", str(tmp_path / "out"), "--workers", "2", script="deadly_image.py"
    )
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 3, output
    rows = {Path(row["path"]).name: row for row in rows_of(tmp_path / "out")}
    assert rows["white.png"]["error"].startswith(f"{DEATHS} processes ended unexpectedly")
    assert "the model fails at this image" in rows["black.png"]["error"]
    assert [row["status"] for row in rows.values()].count("ok") == 4


@pytest.fixture
def folder(tmp_path):
    (tmp_path / SHARD_FOLDER).mkdir()
    return tmp_path


def test_deaths_count_from_the_second_attempt_of_one_run_on(folder):
    for death in range(DEATHS + 1):
        attempt = Attempt(folder, 0, "run")
        assert attempt.is_careful == (death > 0)
        assert attempt.begin(4)
        assert attempt.begin(5)
        attempt._file.close()  # as if the process had died
    attempt = Attempt(folder, 0, "run")
    assert attempt.begin(4)
    assert not attempt.begin(5)
    attempt._file.close()
    assert Attempt(folder, 0, "another run").begin(5)


def test_a_finished_attempt_leaves_no_file(folder):
    attempt = Attempt(folder, 0, "run")
    attempt.begin(0)
    attempt.end(finished=True)
    assert list((folder / SHARD_FOLDER).iterdir()) == []
    assert not Attempt(folder, 0, "run").is_careful


@pytest.mark.parametrize("content", [b"", b"[]\n0", b"\xff\xfe", b'["run", true, {"a": 1}]\n1'])
def test_a_damaged_file_of_attempts_counts_for_nothing(folder, content):
    path = folder / SHARD_FOLDER / ".shard-000000.attempt"
    path.write_bytes(content)
    assert Attempt(folder, 0, "run").begin(0)
