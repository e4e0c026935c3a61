"""Several commands, one after another, in the same processes: starting up is what takes time.

torchrun ... tests/processes_worker.py '[["train", "CONFIG", "--work-dir", ...], ["test", ...]]'
"""

from __future__ import annotations

import json
import sys

import ovss.distributed
from ovss.cli import test, train

if __name__ == "__main__":
    leave, ovss.distributed.stop = ovss.distributed.stop, lambda: None
    for command, *arguments in json.loads(sys.argv[1]):
        main = {"train": train.main, "test": test.main}[command]
        main([*arguments, "--launcher", "pytorch"])
    leave()
