"""Writes the trained weights of a run to a file."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from ovss.distributed import unwrap
from ovss.models.checkpoint import save_weights
from ovss.models.parts import pretrained_block

from .checkpoints import names_not_finite
from .precision import NonFiniteLossError


def export_weights(runner: Runner, config: Config, name: str = "weights.safetensors") -> Path:
    """Writes the trained weights as a safetensors file into the working directory.

    If the run keeps an average of the weights (``ema``), the average is written, as in validation.
    All ranks must call this function; rank 0 writes.

    Args:
        runner: Runner after training.
        config: config of the run.
        name: name of the file.

    Returns:
        Path of the file.

    Raises:
        NonFiniteLossError: weights are not finite on some rank.
    """
    broken = names_not_finite(runner)
    if broken:
        raise NonFiniteLossError(
            f"{len(broken)} tensors are not finite after the training, the first is {broken[0]}, "
            f"so no weights were written. Resume from an earlier checkpoint in {runner.work_dir}"
        )
    path = Path(runner.work_dir) / name
    method = Path(config.filename).stem if config.filename else type(unwrap(runner.model)).__name__
    base = pretrained_block(config.model["encoder"]).get("pretrained", "none")
    notes = {"config": method, "method": method, "base": str(base)}
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook.before_test_epoch(runner)  # swaps the average in; `after_test_epoch` swaps it out
    if runner.rank == 0:
        save_weights(unwrap(runner.model), path, only_trainable=True, metadata=notes)
    else:
        unwrap(runner.model).state_dict()  # collective call: sends this rank's shards to rank 0
    for hook in averages:
        hook.after_test_epoch(runner)
    return path
