"""Time and memory of training steps, on a GPU or a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ovss.io.memory import resident_bytes


@HOOKS.register_module()
class StopwatchHook(Hook):
    """Records the duration, the input shape and the loss of every step."""

    priority = "VERY_LOW"

    def before_train(self, runner: Runner) -> None:
        self.seconds: list[float] = []
        forget_peak()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        inputs = data_batch["inputs"]
        sizes = [tuple(image.shape[1:]) for image in inputs]
        self.shape = (len(inputs), *map(max, zip(*sizes)))
        self.start = _now()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.loss = float(outputs["loss"])
        self.seconds.append(_now() - self.start)


def peak_bytes() -> int:
    """Peak memory since `forget_peak`: allocated on the GPU, or resident in this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resident_bytes("VmHWM")
    if peak is None:  # not Linux
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


def forget_peak() -> None:
    """Resets the peak memory to the current memory, if the system supports it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
