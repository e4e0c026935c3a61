"""From a config and flags to mmengine's Runner, with what is wrong said before anything starts."""

from __future__ import annotations

import errno
import os
import uuid
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ovss import distributed
from ovss.distributed import unwrap
from ovss.io.advice import advised
from ovss.io.files import ensure_writable
from ovss.models.checkpoint import CheckpointError, load_weights
from ovss.models.config_keys import check_keys
from ovss.models.validation import check_model
from ovss.models.weights import find_weights

_MATMUL = ("highest", "high", "medium")
_TRAINING_KEYS = tuple(
    f"{part}_{kind}" for part in ("train", "val") for kind in ("dataloader", "cfg", "evaluator")
) + ("optim_wrapper", "param_scheduler")


def check_trainable(config: Config) -> None:
    """
    Raises:
        ValueError: the config names no training, or one by epochs.
    """
    missing = [
        key for key in ("train_dataloader", "train_cfg", "optim_wrapper") if not config.get(key)
    ]
    if missing:
        raise ValueError(
            f"{config.filename or 'config'} has no {', '.join(missing)}: its method has nothing to "
            f"train (ovss test and ovss segment use it as it is), or these keys are missing"
        )
    if "max_iters" not in config.train_cfg:
        raise ValueError(
            f"{config.filename or 'config'}: train_cfg names no max_iters; training is counted in "
            f"iterations here, of train_dataloader.batch_size pictures each"
        )


def build_runner(
    config: Config,
    work_dir: str | Path,
    *,
    resume: str | None = None,
    amp: bool | str = False,
    seed: int | None = None,
    launcher: str = "none",
    testing: bool = False,
) -> Runner:
    """A Runner, ready to train or test.

    Args:
        config: as `ovss.models.configs.load_config` gives it; left as it is.
        work_dir: where logs, checkpoints and pictures go.
        resume: ``"auto"`` goes on from the last checkpoint in `work_dir`, if there is one; a path
            from that one; the seed is the checkpoint's.
        amp: ``"bfloat16"`` (or True) or ``"float16"``: compute in it where autocast allows.
        seed: of everything; None: the config's.
        launcher: ``none``, or who started this process beside others: ``pytorch`` (torchrun),
            ``slurm`` or ``mpi``.
        testing: leave out all that only training needs.

    Raises:
        KeyError: unknown key. OSError: `work_dir` cannot be written.
        CheckpointError: the checkpoint to resume from is truncated or no training checkpoint, or
            keeps an average of weights and the config does not.
        ProtocolError: the config names an unknown protocol.
        ValueError: nothing to train; processes that cannot meet, or cannot share the batch evenly;
            another word for `matmul_precision`. TypeError: a switch that is no switch.
    """
    if not testing:
        check_trainable(config)
    register_training()
    from .runner import TrainingRunner, share_of_batch, switch

    config = _with_flags(config, amp, seed, testing)
    config.work_dir, config.launcher = str(work_dir), launcher
    ensure_work_dir(work_dir)
    distributed.start(launcher, **config.get("env_cfg", {}).get("dist_cfg", {}))
    if not testing:
        share_of_batch(config.train_dataloader, config.train_cfg, distributed.world_size())
    torch.set_float32_matmul_precision(matmul_precision(config))
    average = switch(config, "ema")
    if average is not None and not testing:
        config.custom_hooks = [*config.get("custom_hooks", ()), {"type": "EMAHook", **average}]
    start = config.get("load_from")
    config.load_from = config.resume = None
    if resume is not None and _go_on(config, work_dir, resume, average is not None):
        start = None
    runner = TrainingRunner.from_cfg(config)
    if resume is not None and config.resume is None:
        runner.logger.warning(
            f"no checkpoint in {work_dir} to resume from, so training starts at the first step"
        )
    if start:
        load_weights(unwrap(runner.model), find_weights(start))
    return runner


def _with_flags(config: Config, amp: bool | str, seed: int | None, testing: bool) -> Config:
    """Copy of a config, checked, with its protocol written out and flags applied."""
    from ovss.protocols.write import write_protocol

    config = Config(config.to_dict(), filename=config.filename)
    check_keys(config)
    check_model(config.get("model"))
    write_protocol(config)  # a tested config was settled before; validation needs its fields too
    for key in ("weights", *(_TRAINING_KEYS if testing else ())):
        config.pop(key, None)
    if seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": seed}
    if amp:
        name = "bfloat16" if amp is True else amp
        config.merge_from_dict({"optim_wrapper.amp": name})
    for scheduler in config.get("param_scheduler") or ():
        scheduler.setdefault("end", config.train_cfg.max_iters)
    # mmengine keeps logs and messages by this name, for as long as the process lives
    config.experiment_name = f"{Path(config.filename or 'run').stem}-{uuid.uuid4().hex[:8]}"
    return config


def _go_on(config: Config, work_dir: str | Path, resume: str, averaged: bool) -> bool:
    """Make a config continue from a checkpoint, in place; False if there is none to find.

    Raises:
        CheckpointError: the checkpoint holds an average of weights and the config asks for none.
    """
    from .checkpoints import find_checkpoint, read_training_checkpoint

    path = find_checkpoint(work_dir) if resume == "auto" else Path(resume)
    if path is None:
        return False
    saved = read_training_checkpoint(path)
    if "ema_state_dict" in saved and not averaged:
        error = CheckpointError(
            f"{path} holds an average of weights, which this config does not keep. Set "
            f"ema in the config, or start from the average with load_from={path}"
        )
        raise advised(error, "average")
    config.load_from, config.resume = str(path), True
    seed = saved["meta"]["seed"]
    config.randomness = {**config.get("randomness", {}), "seed": seed}
    return True


def matmul_precision(config: Config) -> str:
    """Precision of float32 products that a config asks for.

    Raises:
        ValueError: a name that torch does not know; it would only warn and change nothing.
    """
    precision: str = config.get("matmul_precision", "highest")
    if precision not in _MATMUL:
        raise ValueError(f"matmul_precision is {' or '.join(_MATMUL)}, got {precision!r}")
    return precision


def register_training() -> None:
    """Make everything that a config may name known to mmengine; idempotent."""
    from ovss.data import register_data
    from ovss.evaluation import register_evaluation

    register_data()
    register_evaluation()
    for module in ("segmentor", "training", "training.optim", "training.hooks"):
        import_module(f"ovss.{module}")


def ensure_work_dir(folder: str | Path) -> None:
    """Make a working directory that can be written, so that an hour of training is not lost later.

    Raises:
        OSError: with the folder and the reason.
    """
    try:
        ensure_writable(folder)
    except OSError as error:
        unwritable = OSError(
            error.errno,
            f"cannot write into the working directory ({os.strerror(error.errno or errno.EIO)})",
            str(folder),
        )
        raise advised(unwritable, "work_dir") from error
