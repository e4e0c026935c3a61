"""Evaluations in several processes: `python -m tests.evaluation.counted_ranks STEPS.json`.

Each step is ``{work_dir, ranks, resume, images, die}``; the result of the first process is
printed, one line of JSON a step. A process that dies takes the others with it, as torchrun does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch.distributed as dist
import torch.multiprocessing as mp

from ovss.training.build import register_training
from tests.evaluation.counted import counted_config, run


def work(rank: int, step: dict, meet: str, answer: str) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(step["ranks"]))
    os.environ.update(COUNTED_DIE=str(step.get("die", -1)))
    dist.init_process_group("gloo", f"file://{meet}", rank=rank, world_size=step["ranks"])
    config = counted_config(step.get("images", 47), resume=step["resume"])
    loop, metrics = run(config, step["work_dir"])
    if rank == 0:
        report = loop.evaluator.metrics[0].report
        result = {
            "metrics": metrics,
            "true": report.counts.true_T.tolist(),
            "sessions": loop.cost.sessions,
            "ranks": loop.cost.ranks,
        }
        Path(answer).write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def main(steps: list[dict]) -> None:
    register_training()  # importing takes most of the time, so it happens once
    context = mp.get_context("fork")
    for step in steps:
        folder = tempfile.mkdtemp()
        arguments = (step, f"{folder}/meet", f"{folder}/answer")
        processes = [
            context.Process(target=work, args=(rank, *arguments)) for rank in range(step["ranks"])
        ]
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            if any(process.exitcode not in (None, 0) for process in processes):
                for process in processes:
                    process.kill()
            time.sleep(0.02)
        answer = Path(folder, "answer")
        codes = [process.exitcode for process in processes]
        result = json.loads(answer.read_text()) if answer.is_file() else {}
        print(json.dumps({**result, "codes": codes}), flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
