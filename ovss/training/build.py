"""Builds mmengine's Runner from a config and options, and reports mistakes before it starts."""

from __future__ import annotations

import errno
import os
import uuid
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from ovss import distributed
from ovss.distributed import unwrap
from ovss.io.advice import advised
from ovss.io.excerpts import excerpt
from ovss.io.files import delete_leftovers, ensure_writable
from ovss.io.locks import FileLock
from ovss.models.checkpoint import load_weights
from ovss.models.config_keys import check_keys
from ovss.models.config_kinds import check_kinds, without_unset
from ovss.models.validation import check_model

from .blocks import check_blocks, check_complete
from .formatting import RunConfig
from .ranges import check_numbers
from .ready import count_images
from .resume import changed_schedule
from .run_options import check_run_options
from .start import find_start
from .tracking.choice import check_track
from .tracking.start import start_tracking

_MATMUL = ("highest", "high", "medium")
_TRAINING_KEYS = tuple(
    f"{part}_{kind}" for part in ("train", "val") for kind in ("dataloader", "cfg", "evaluator")
) + ("optim_wrapper", "param_scheduler", "track")


def check_trainable(config: Config) -> None:
    """Rejects a config without a training schedule counted in iterations.

    Raises:
        ValueError: the config has no training schedule, or one counted in epochs.
    """
    missing = [
        key for key in ("train_dataloader", "train_cfg", "optim_wrapper") if not config.get(key)
    ]
    if missing:
        raise ValueError(
            f"{config.filename or 'The config'} has no {', '.join(missing)}, so there is nothing "
            f"to train. If the method is training-free, run it with `ovss test` or `ovss segment`. "
            f"Otherwise add these keys"
        )
    if "max_iters" not in config.train_cfg:
        raise ValueError(
            f"train_cfg in {config.filename or 'the config'} has no max_iters. Set max_iters, "
            f"because training is counted in iterations of train_dataloader.batch_size images"
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
    """Builds a Runner that is ready to train or test.

    Args:
        config: result of `ovss.models.configs.load_config`, not modified.
        work_dir: folder for logs, checkpoints and drawn images.
        resume: path of a training checkpoint to continue from, with its seed. ``"auto"`` takes the
            last one in `work_dir`, or starts from scratch if it is empty. None starts from scratch.
        amp: ``"bfloat16"`` (or True) or ``"float16"``, the number type where autocast allows it.
        seed: seed of data order, augmentation and weights; None takes the config's.
        launcher: launcher that started this rank: ``pytorch`` (torchrun), ``slurm`` or ``mpi``;
            ``none`` for a single process.
        testing: True drops everything that only training needs.

    Raises:
        KeyError: unknown config key.
        OSError: `work_dir` cannot be written, or another training uses it (BlockingIOError).
        CheckpointError: the checkpoint is truncated or not finite, has no training state, or holds
            an average of weights although the config keeps none.
        ResumeMismatchError: settings that decide the curve are not those of the checkpoint.
        ProtocolError: the config names an unknown protocol.
        ValueError: there is nothing to train, the ranks cannot connect or cannot share the batch
            evenly, or ``matmul_precision`` is unknown.
        TypeError: a config key such as ``ema`` is neither a boolean nor a dict.
        ModuleNotFoundError: the package of a tracker in ``track`` is not installed.
        TrackingError: a tracker refuses the run or cannot be reached.
    """
    if not testing:
        check_trainable(config)
    register_training()
    from .batch import share_of_batch
    from .runner import TrainingRunner, switch
    from .terminal import TerminalHook

    protocol = config.get("protocol")
    config = _with_options(config, amp, seed, testing)
    config.work_dir, config.launcher = str(work_dir), launcher
    ensure_work_dir(work_dir)
    distributed.start(launcher, **config.get("env_cfg", {}).get("dist_cfg", {}))
    lock = None
    if not testing:
        share_of_batch(config.train_dataloader, config.train_cfg, distributed.world_size())
        lock = lock_work_dir(work_dir)
    torch.set_float32_matmul_precision(matmul_precision(config))
    average = switch(config, "ema")
    if average is not None and not testing:
        config.custom_hooks = [*config.get("custom_hooks", ()), {"type": "EMAHook", **average}]
    images = count_images(config, ("test",) if testing else ("train", "val"))
    start = find_start(config, work_dir, resume, seed, images.get("train", 0))
    # before the model, whose build may take minutes, and before mmengine's log, which the import of
    # MLflow would close
    tracking = start_tracking(config, work_dir, protocol, bool(config.resume))
    try:
        runner = TrainingRunner.from_cfg(config)
    except BaseException:
        if tracking is not None:
            tracking.close(complete=False)
        raise
    runner.work_dir_lock = lock
    if tracking is not None:
        runner.tracking = tracking
        runner.register_hook(tracking)
    if start.missing:
        runner.logger.warning(
            f"Found no checkpoint in {work_dir} to resume from. Training starts from scratch"
        )
    if start.weights:
        load_weights(unwrap(runner.model), start.weights)
    if not testing:
        runner.register_hook(TerminalHook(start.origin))
        runner.new_schedule = changed_schedule(start.followed)
    return runner


def _with_options(config: Config, amp: bool | str, seed: int | None, testing: bool) -> Config:
    """Checks a config and returns a copy with its protocol written out and options applied."""
    from ovss.protocols.write import write_protocol

    config = RunConfig(config.to_dict(), filename=config.filename)
    without_unset(config)
    check_keys(config)
    check_kinds(config)
    check_model(config.get("model"))
    write_protocol(config)  # already done for tests; validation during training needs it too
    for key in ("weights", *(_TRAINING_KEYS if testing else ())):
        config.pop(key, None)
    with DefaultScope.overwrite_default_scope(config.get("default_scope")):
        check_complete(config)
        check_blocks(config)
    check_numbers(config)
    check_run_options(config)
    check_track(config)
    if seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": seed}
    if amp:
        name = "bfloat16" if amp is True else amp
        config.merge_from_dict({"optim_wrapper.amp": name})
    for scheduler in config.get("param_scheduler") or ():
        scheduler.setdefault("end", config.train_cfg.max_iters)
    # mmengine shares loggers between Runners of one name in a process, so the name is made unique
    config.experiment_name = f"{Path(config.filename or 'run').stem}-{uuid.uuid4().hex[:8]}"
    return config


def matmul_precision(config: Config) -> str:
    """Reads the precision of float32 matrix products from a config.

    Raises:
        ValueError: unknown name, which torch itself would ignore with a warning.
    """
    precision: str = config.get("matmul_precision", "highest")
    if precision not in _MATMUL:
        raise ValueError(
            f"matmul_precision must be {' or '.join(_MATMUL)}, got {excerpt(precision)}. Correct it"
        )
    return precision


def register_training() -> None:
    """Registers the datasets, metrics, loops and hooks that configs name; idempotent."""
    from ovss.data import register_data
    from ovss.evaluation import register_evaluation

    register_data()
    register_evaluation()
    for module in ("segmentor", "training", "training.optim", "training.hooks"):
        import_module(f"ovss.{module}")


def lock_work_dir(folder: str | Path) -> FileLock | None:
    """Locks a working directory for one training, and deletes what killed trainings left in it.

    The first rank does it for all.

    Raises:
        BlockingIOError: another training uses the directory; every rank raises it.
    """
    lock, problem = None, None
    if distributed.rank() == 0:
        try:
            lock = FileLock(Path(folder) / ".train.lock", "training", again=True)
            delete_leftovers(folder, nested=True)
        except BlockingIOError as error:
            problem = error.args + (error.filename,)
    problem = distributed.all_gather(problem)[0]
    if problem is not None:
        raise advised(BlockingIOError(*problem), "work_dir")
    return lock


def ensure_work_dir(folder: str | Path) -> None:
    """Creates the working directory and checks that it can be written before training starts.

    Raises:
        OSError: the folder cannot be written; the message names it and the reason.
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
