"""Child processes end with their parent, also if it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SPAWNED = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from ovss.io.children import end_with_parent, watch_parent

def work(name):
    with open(name, "w") as file:
        file.write(str(os.getpid()))
    os.rename(name, name + ".pid")
    time.sleep(60)

if __name__ == "__main__":
    kind, name = sys.argv[1:]
    start = watch_parent if kind == "fork" else end_with_parent
    pool = ProcessPoolExecutor(1, multiprocessing.get_context(kind), initializer=start)
    pool.submit(work, name).result()
"""
PLAIN = """
import subprocess, sys, os
child = (
    "from ovss.io.children import end_with_parent; end_with_parent(%d);"
    "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()));"
    "os.rename(sys.argv[1], sys.argv[1] + '.pid'); time.sleep(60)" % os.getpid()
)
subprocess.run([sys.executable, "-c", child, sys.argv[2]])
"""


def is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["spawn", "forkserver", "fork", "plain"])
def test_a_child_ends_within_two_seconds_of_its_parent(tmp_path, kind, end):
    program, name = tmp_path / "parent.py", tmp_path / "child"
    program.write_text(PLAIN if kind == "plain" else SPAWNED)
    parent = subprocess.Popen([sys.executable, str(program), kind, str(name)])
    try:
        deadline = time.monotonic() + 30
        while not name.with_suffix(".pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child = int(name.with_suffix(".pid").read_text())
        assert is_alive(child)
        parent.send_signal(end)
        parent.wait(10)
        deadline = time.monotonic() + 2
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not is_alive(child)
    finally:
        parent.kill()


def test_a_child_whose_parent_is_gone_already_does_not_start():
    code = "from ovss.io.children import end_with_parent; end_with_parent(4194303); print('runs')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
