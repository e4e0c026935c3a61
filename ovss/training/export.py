"""Writes what a training run learned as a weights file."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from ovss.distributed import unwrap
from ovss.models.checkpoint import save_weights
from ovss.models.parts import pretrained_block


def export_weights(runner: Runner, config: Config, name: str = "weights.safetensors") -> Path:
    """Write what was trained as a safetensors file into the working directory: the average of the
    weights where the run keeps one (``ema``), as its validations saw. All processes must call it;
    the first one writes.

    Returns:
        its path; `ovss segment --weights` and `ovss test` take it.
    """
    path = Path(runner.work_dir) / name
    method = Path(config.filename).stem if config.filename else type(unwrap(runner.model)).__name__
    base = pretrained_block(config.model["encoder"]).get("pretrained", "none")
    notes = {"config": method, "method": method, "base": str(base)}
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook.before_test_epoch(runner)  # the average takes the weights' place
    if runner.rank == 0:
        save_weights(unwrap(runner.model), path, only_trainable=True, metadata=notes)
    else:
        unwrap(runner.model).state_dict()  # gives its shards, if it has any
    for hook in averages:
        hook.after_test_epoch(runner)
    return path
