"""How a process ends: with the command's status, and without a teardown where it was a rank."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import atexit, os, sys
from ovss import distributed
from ovss.cli.process import run_as_process

class AbortsAtTeardown:  # as a thread of gloo does that still releases a tensor
    def __del__(self, abort=os.abort):
        abort()

kept = AbortsAtTeardown()
atexit.register(print, "exit function")
distributed._has_joined = {rank}

def command():
    sys.stdout.write("command, ")
    {body}

run_as_process(command)
"""


def end(body: str, rank: bool = True) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(body=body, rank=rank)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return 3", 3),
        ("return None", 0),
        ("sys.exit(2)", 2),
        ("sys.exit()", 0),
        ("sys.exit('why')", 1),
        ("raise OSError('why')", 1),
    ],
)
def test_a_rank_ends_with_its_status_and_without_teardown(body, status):
    done = end(body)
    assert done.returncode == status, done.stderr
    assert done.stdout == "command, exit function\n"
    assert ("why" in done.stderr) == ("why" in body)


def test_another_process_is_taken_down_as_always():
    done = end("return 3", rank=False)
    assert done.returncode < 0
    assert done.stdout == "command, exit function\n"
