"""One training at a time in a working directory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ovss.io.advice import advice_of
from ovss.io.files import temporary_name
from ovss.training.build import lock_work_dir

HOLD = """
import sys
from ovss.training.build import lock_work_dir
lock = lock_work_dir(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_training_is_refused_with_the_process_of_the_first(tmp_path):
    pytest.importorskip("fcntl")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"process {holder.pid}") as caught:
            lock_work_dir(tmp_path)
        assert caught.value.filename == str(tmp_path)
        assert advice_of(caught.value).topics == ("work_dir",)
    finally:
        holder.kill()
        holder.communicate()
    assert lock_work_dir(tmp_path) is not None, "the lock ends with its process"


def test_a_training_deletes_what_killed_ones_left_in_its_folders(tmp_path):
    pytest.importorskip("fcntl")
    left = tmp_path / "images" / "iter_000015" / temporary_name("scene.png", "0123abcd")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an image")
    (left.parent / "scene.png").write_bytes(b"a whole one")
    lock = lock_work_dir(tmp_path)
    assert lock is not None
    assert [path.name for path in left.parent.iterdir()] == ["scene.png"]
