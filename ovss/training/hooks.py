"""Training hooks: reproducible random numbers in every step, and the loss curve."""

from __future__ import annotations

import json
import math
import platform
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmengine
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ovss.io.files import write_atomic, write_text
from ovss.io.json_text import json_text
from ovss.io.regular import open_regular

from .curve import damaged_lines, plot_curve, read_curve
from .rows import step_row, validation_row

CURVE = "curve.jsonl"


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds all generators from (seed, rank, iteration) before each step.

    Random numbers of a step (dropout, sampled categories) then do not depend on earlier steps, so a
    resumed run draws the same ones as an uninterrupted run.
    """

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        sequence = np.random.SeedSequence((runner.seed, runner.rank, runner.iter))
        for_torch, for_numpy, for_python = (int(x) for x in sequence.generate_state(3))
        torch.manual_seed(for_torch)
        np.random.seed(for_numpy)
        random.seed(for_python)


@HOOKS.register_module()
class CurveHook(Hook):
    """Writes all losses to ``curve.jsonl``, a summary of the run to ``run.json``, and a plot.

    The plot ``curve.png`` is written at the end. A resumed run first removes losses that are newer
    than its checkpoint.

    Args:
        smooth: length of the running mean in the plot, in iterations.
    """

    def __init__(self, smooth: int = 20) -> None:
        self.smooth = smooth

    @master_only
    def before_train(self, runner: Runner) -> None:
        self.path = Path(runner.work_dir) / CURVE
        _keep_damaged(self.path, runner)
        kept = [row for row in read_curve(self.path) if row["iter"] <= runner.iter]
        write_text(self.path, "".join(map(_line, kept)))
        write_text(self.path.with_name("run.json"), json_text(_run_record(runner)))

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        with open_regular(self.path, "a") as file:
            file.write(_line(step_row(runner, outputs)))

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not hasattr(self, "path"):
            return
        with open_regular(self.path, "a") as file:
            file.write(_line(validation_row(runner, metrics)))

    @master_only
    def after_train(self, runner: Runner) -> None:
        plot_curve(read_curve(self.path), self.path.with_suffix(".png"), self.smooth)


def _keep_damaged(path: Path, runner: Runner) -> None:
    """Copies a curve with damaged lines before it is written again without them."""
    lines = damaged_lines(path)
    if not lines:
        return
    copy = path.with_suffix(".damaged.jsonl")
    content = path.read_bytes()
    write_atomic(copy, lambda file: file.write(content))
    runner.logger.warning(
        f"{path} has {len(lines)} damaged lines, which are left out, the first is line {lines[0]}. "
        f"The file as it was is {copy.name}"
    )


def _line(row: Mapping[str, float]) -> str:
    """Row as a line of JSON, which has no NaN: undefined values become null."""
    plain = {key: value if math.isfinite(value) else None for key, value in row.items()}
    return json.dumps(plain, allow_nan=False) + "\n"


def _run_record(runner: Runner) -> dict[str, Any]:
    """Summary of a run: seed, vocabulary, parameters and versions."""
    dataset = runner.train_dataloader.dataset
    parameters = list(runner.model.parameters())
    return {
        "seed": runner.seed,
        "resumed_at": runner.iter,
        "vocabulary": list(dataset.metainfo["classes"]),
        "images": len(dataset),
        "parameters": sum(p.numel() for p in parameters),
        "learnable": sum(p.numel() for p in parameters if p.requires_grad),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "mmengine": mmengine.__version__,
        },
    }
