"""Terminal output of a training: what is trained, progress, and the weights at the end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ovss.distributed import unwrap
from ovss.evaluation.cost import duration
from ovss.io.terminal import echo, say

__all__ = ["TerminalHook"]

_SHORTEST, _LONGEST, _SHARE = 10.0, 300.0, 0.05


class TerminalHook(Hook):
    """Prints what is trained, then the loss, the learning rate and the time left.

    Lines come every ten seconds at first, and less often as a training goes on: after a twentieth
    of the time so far, at most five minutes.

    Args:
        origin: sentence that says where the weights come from.
    """

    priority = "BELOW_NORMAL"  # before the schedulers step, so that the rate is that of the step

    def __init__(self, origin: str = "") -> None:
        self.origin = origin

    def before_train(self, runner: Runner) -> None:
        """Prints what is trained."""
        for line in _introduction(runner, self.origin):
            say(runner.logger, line)
        self.start = self.last = time.perf_counter()
        self.first = runner.iter
        self.warm: float | None = None
        self.total, self.count = torch.zeros(()), 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Prints progress if a line is due."""
        done, now = runner.iter + 1, time.perf_counter()
        loss = outputs["loss"].detach().float()
        self.total, self.count = self.total.to(loss.device) + loss, self.count + 1
        is_edge = done in (self.first + 1, runner.max_iters)
        if is_edge or now - self.last >= _pause(now - self.start):
            line = f"iteration {done:,} of {runner.max_iters:,}: loss {self._mean():.4f}"
            say(runner.logger, f"{line}, lr {_rate(runner):.2e}{self._time_left(runner, now)}")
            self.last, self.total, self.count = now, torch.zeros(()), 0
        if self.warm is None:
            self.warm = time.perf_counter()  # the first step also encodes text, and may compile

    def before_val_epoch(self, runner: Runner) -> None:
        """Prints that a validation starts."""
        self.val_last = time.perf_counter()
        say(runner.logger, f"validation after iteration {runner.iter:,}")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Prints the progress of a long validation."""
        now, batches = time.perf_counter(), len(runner.val_dataloader)
        if now - self.val_last >= 3 * _SHORTEST and batch_idx + 1 < batches:
            self.val_last = now
            say(runner.logger, f"validation: {batch_idx + 1:,} of {batches:,} batches")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Prints the metrics of a validation; the log has those of every class."""
        width = max(map(len, metrics or ("",)))
        rows = [f"  {key:{width}}  {_percent(value)}" for key, value in (metrics or {}).items()]
        echo(runner.logger, "\n".join(rows))

    def after_train(self, runner: Runner) -> None:
        """Prints the duration of the training."""
        steps = runner.iter - self.first
        took = duration(time.perf_counter() - self.start)
        say(runner.logger, f"{steps:,} iterations took {took}")

    def _mean(self) -> float:
        return float(self.total) / max(self.count, 1)

    def _time_left(self, runner: Runner, now: float) -> str:
        """Speed and time left, without the first step; empty before the second."""
        done = runner.iter + 1
        steps = done - self.first - 1
        if self.warm is None or not steps:
            return ""
        seconds = (now - self.warm) / steps
        left = duration(seconds * (runner.max_iters - done))
        return f", {seconds:.2f} s per iteration, {left} left"


def _pause(elapsed: float) -> float:
    """Seconds between two lines after a training has run for `elapsed` seconds."""
    return min(_LONGEST, max(_SHORTEST, _SHARE * elapsed))


def _rate(runner: Runner) -> float:
    rates = runner.optim_wrapper.get_lr()
    return float(rates.get("base_lr", rates.get("lr", [0.0]))[0])


def _percent(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:6.2f}"


def _introduction(runner: Runner, origin: str) -> list[str]:
    config, model = runner.cfg, unwrap(runner.model)
    dataset = runner.train_dataloader.dataset
    method = Path(config.filename).stem if config.filename else type(model).__name__
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    count = sum(p.numel() for p in parameters)
    classes = len(getattr(dataset, "metainfo", {}).get("classes", ()))
    kind = parameters[0].device.type
    device = torch.cuda.get_device_name() if kind == "cuda" else kind
    ranks = f" on {runner.world_size} ranks" if runner.world_size > 1 else ""
    number = getattr(runner.optim_wrapper, "amp", None) or "float32"
    return [
        f"training {method}: {trained:,} of {count:,} parameters",
        f"data: {type(dataset).__name__}, {len(dataset):,} images, {classes:,} categories",
        f"schedule: {runner.max_iters:,} iterations of {config.train_dataloader.batch_size} images"
        f"{ranks}, {device}, {number}, seed {runner.seed}",
        f"working directory: {runner.work_dir} (log: {Path(runner.log_dir).name})",
        *([origin] * bool(origin)),
    ]
