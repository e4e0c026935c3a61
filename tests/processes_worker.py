"""Several commands, one after another, in the same processes: starting up is what takes time.

torchrun ... tests/processes_worker.py '[["train", "CONFIG", "--work-dir", ...], ["test", ...]]'
"""

from __future__ import annotations

import json
import sys

import ovss.distributed
from ovss.cli import test, train
from ovss.cli.process import run_as_process


def run(commands: list[list[str]]) -> None:
    leave, ovss.distributed.stop = ovss.distributed.stop, lambda: None
    for command, *arguments in commands:
        main = {"train": train.main, "test": test.main}[command]
        main([*arguments, "--launcher", "pytorch"])
    leave()


if __name__ == "__main__":
    run_as_process(lambda: run(json.loads(sys.argv[1])))
