"""Several commands, one after another, in the same processes: starting up is what takes time.

torchrun ... tests/processes_worker.py '[["train", "CONFIG", "--work-dir", ...], ["test", ...]]'
"""

from __future__ import annotations

import json
import sys

import ovss.processes
from ovss import test_cli, train_cli

if __name__ == "__main__":
    leave, ovss.processes.stop = ovss.processes.stop, lambda: None
    for command, *arguments in json.loads(sys.argv[1]):
        main = {"train": train_cli.main, "test": test_cli.main}[command]
        main([*arguments, "--launcher", "pytorch"])
    leave()
