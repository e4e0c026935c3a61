"""Training loop and command-line flags that both trainings share."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from . import runs

Batch = dict[str, Tensor]


def batches_from(data: Dataset, first: int, args: argparse.Namespace) -> Iterator[Batch]:
    """Iterates over the batches of `data` from step `first` to the end of the run."""

    def pin(_: int) -> None:
        torch.set_num_threads(1)
        if args.worker_core is not None:
            os.sched_setaffinity(0, {args.worker_core})

    return iter(DataLoader(data, batch_size=None, sampler=range(first, args.steps),
                           num_workers=args.workers, worker_init_fn=pin,
                           prefetch_factor=4 if args.workers else None))  # fmt: skip


def fit(
    args: argparse.Namespace,
    parts: dict[str, nn.Module | torch.optim.Optimizer],
    data: Dataset,
    learn: Callable[[Batch, int], dict[str, float]],
    images: Callable[[int], int],
    test: Callable[[], dict[str, Any]],
) -> tuple[int, int]:
    """Trains from the start or the last checkpoint to the end of the schedule or ``stop_at``.

    Args:
        args: flags of `add_flags`.
        parts: model, optimizer and further modules, which a checkpoint contains.
        data: batches by step.
        learn: runs the step of a batch and returns its losses.
        images: number of images in a step.
        test: measures the model; the log contains the results.

    Returns:
        Number of steps done, and of images used in them.
    """
    args.work_dir.mkdir(parents=True, exist_ok=True)
    checkpoint, first, samples = args.work_dir / "last.pt", 0, 0
    if args.resume and checkpoint.exists():
        first, samples = runs.restore(checkpoint, **parts)
    last = max(first, args.steps if args.stop_at is None else min(args.steps, args.stop_at))
    started, before, batches = time.time(), samples, batches_from(data, first, args)
    for step in range(first, last):
        values, done = learn(next(batches), step), step + 1
        samples += images(step)
        if done % args.log_every == 0 or done == last:
            speed = (samples - before) / (time.time() - started)
            record = {"step": done, "samples": samples, **values, "per_s": round(speed, 1)}
            if done % args.test_every == 0 or done == last:
                record |= test()
            runs.log(args.work_dir, record)
        if done % args.save_every == 0 or done == last:
            runs.save(checkpoint, done, samples, **parts)
    return last, samples


def add_flags(
    parser: argparse.ArgumentParser, folder: str, steps: int, test_count: int, save_every: int
) -> None:
    """Adds the flags of a run; the arguments are defaults that differ between the trainings."""
    add = parser.add_argument
    add("--work-dir", type=Path, default=Path(folder), help="folder for checkpoints")
    add("--steps", type=int, default=steps, help="length of the schedule in steps")
    add("--stop-at", type=int, help="stop early at this step of the schedule")
    add("--lr", type=float, default=1e-3, help="highest learning rate")
    add("--warmup", type=int, default=150, help="warmup in steps")
    add("--seed", type=int, default=0, help="seed of the data and the initial weights")
    add("--resume", action="store_true", help="continue from WORK_DIR/last.pt")
    add("--export", type=Path, help="write the weights to this file at the end")
    add("--float32", action="store_true", help="train in float32, without bfloat16 autocast")
    add("--workers", type=int, default=1, help="rendering processes, or 0 to render in this one")
    add("--worker-core", type=int, help="pin the rendering processes to this CPU core")
    add("--log-every", type=int, default=25, help="steps between log lines")
    add("--test-every", type=int, default=250, help="steps between tests")
    add("--test-count", type=int, default=test_count, help="images in a test")
    add("--save-every", type=int, default=save_every, help="steps between checkpoints")
