"""Memory of an evaluation over 847 categories: `python -m tests.evaluation.memory_of IMAGES`.

Prints JSON: ``traced``, bytes at the peak of Python and NumPy during the run above what was held
before it; ``kept``, of them still held at its end; ``resident``, the growth of the process.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import tracemalloc
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from ovss.benchmark.memory import peak_memory
from ovss.training.build import register_training
from tests.evaluation.counted import counted_config, run


def measure(images: int, categories: int = 847) -> dict[str, int]:
    """Memory of one evaluation, after a small one that fills caches."""
    register_training()
    with tempfile.TemporaryDirectory() as folder:
        run(counted_config(20, categories), folder)
        config = counted_config(images, categories, save_every=1.0)
        config.update(work_dir=folder, experiment_name=f"memory-{images}")
        config.default_hooks = {"logger": {"type": "LoggerHook", "interval": 50}}
        runner = Runner.from_cfg(Config(config.to_dict()))
        resident = peak_memory(runner.test).above if Path("/proc/self").exists() else 0
        gc.collect()
        tracemalloc.start()
        runner.test()
        kept, traced = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {"images": images, "traced": traced, "kept": kept, "resident": resident}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
