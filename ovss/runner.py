"""From a config and flags to mmengine's Runner, with what is wrong said before anything starts."""

from __future__ import annotations

import difflib
import errno
import os
import uuid
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn

from . import processes
from .checkpoint import CheckpointError, load_weights, save_weights
from .files import ensure_writable
from .models import config_dir, find_weights, list_configs, read_config

# fmt: off
RUNNER_KEYS = frozenset({
    "auto_scale_lr", "channels_last", "compile", "custom_hooks", "custom_imports",
    "data_preprocessor", "default_hooks", "default_scope", "ema", "env_cfg", "experiment_name",
    "find_unused_parameters", "fsdp", "gradient_checkpointing", "launcher", "load_from",
    "log_level", "log_processor", "matmul_precision", "model",
    "model_wrapper_cfg",
    "optim_wrapper", "param_scheduler", "protocol", "randomness", "resume", "test_cfg",
    "test_dataloader", "test_evaluator", "train_cfg", "train_dataloader", "val_cfg",
    "val_dataloader", "val_evaluator", "visualizer", "weights", "work_dir",
})
# fmt: on
"""Top-level keys of a config that mean something. `weights`: the trained file a method ships;
`load_from`: weights that training starts from; `protocol`: how it is evaluated, see
docs/protocols.md. Helper variables start with an underscore."""

_MATMUL = ("highest", "high", "medium")
_TRAINING_KEYS = tuple(
    f"{part}_{kind}" for part in ("train", "val") for kind in ("dataloader", "cfg", "evaluator")
) + ("optim_wrapper", "param_scheduler")


def check_keys(config: Config) -> None:
    """Refuse top-level keys that nothing reads: mmengine passes over them without a word.

    Raises:
        KeyError: naming the key, the file and the closest known one.
    """
    for key in config:
        if key in RUNNER_KEYS or key.startswith("_"):
            continue
        close = difflib.get_close_matches(key, RUNNER_KEYS, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(RUNNER_KEYS))}"
        )
        raise KeyError(
            f"{config.filename or 'config'}: nothing reads the key {key!r}; {hint} (helper "
            f"variables start with an underscore)"
        )


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
        config: as `ovss.models.load_config` gives it; left as it is.
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
    from .evaluation.protocol_write import settle_protocol
    from .training.checkpoints import find_checkpoint, read_training_checkpoint
    from .training.runner import TrainingRunner, share_of_batch, switch

    config = Config(config.to_dict(), filename=config.filename)
    check_keys(config)
    settle_protocol(config)
    config.work_dir, config.launcher = str(work_dir), launcher
    for key in ("weights", *(_TRAINING_KEYS if testing else ())):
        config.pop(key, None)
    ensure_work_dir(work_dir)
    if seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": seed}
    if amp:
        name = "bfloat16" if amp is True else amp
        config.merge_from_dict({"optim_wrapper.amp": name})
    for scheduler in config.get("param_scheduler") or ():
        scheduler.setdefault("end", config.train_cfg.max_iters)
    # mmengine keeps logs and messages by this name, for as long as the process lives
    config.experiment_name = f"{Path(config.filename or 'run').stem}-{uuid.uuid4().hex[:8]}"
    processes.start(launcher, **config.get("env_cfg", {}).get("dist_cfg", {}))
    if not testing:
        share_of_batch(config.train_dataloader, config.train_cfg, processes.number())
    matmul = config.get("matmul_precision", "highest")
    if matmul not in _MATMUL:  # torch only warns, and stays at what it was
        raise ValueError(f"matmul_precision is {' or '.join(_MATMUL)}, got {matmul!r}")
    torch.set_float32_matmul_precision(matmul)
    average = switch(config, "ema")
    if average is not None and not testing:
        config.custom_hooks = [*config.get("custom_hooks", ()), {"type": "EMAHook", **average}]
    start = config.get("load_from")
    config.load_from = config.resume = None
    if resume is not None:
        path = find_checkpoint(work_dir) if resume == "auto" else Path(resume)
        if path is not None:
            saved = read_training_checkpoint(path)
            if "ema_state_dict" in saved and average is None:
                raise CheckpointError(
                    f"{path} holds an average of weights beside training's own; go on with "
                    f"--cfg-options ema=True (or the options it had), or start from the average "
                    f"with load_from={path}"
                )
            config.load_from, config.resume = str(path), True
            seed = saved["meta"]["seed"]
            config.randomness = {**config.get("randomness", {}), "seed": seed}
            start = None
    runner = TrainingRunner.from_cfg(config)
    if resume is not None and config.resume is None:
        runner.logger.warning(f"no checkpoint in {work_dir} to resume from: it begins anew")
    if start:
        load_weights(bare_model(runner), find_weights(start))
    return runner


def register_training() -> None:
    """Make everything that a config may name known to mmengine; idempotent."""
    from .data import register_data
    from .evaluation import register_evaluation

    register_data()
    register_evaluation()
    for module in ("segmentor", "training", "optim", "hooks"):
        import_module(f"ovss.{module}")


def export_weights(runner: Runner, config: Config, name: str = "weights.safetensors") -> Path:
    """Write what was trained as a safetensors file into the working directory: the average of the
    weights where the run keeps one (``ema``), as its validations saw. All processes must call it;
    the first one writes.

    Returns:
        its path; `ovss segment --weights` and `ovss test` take it.
    """
    path = Path(runner.work_dir) / name
    method = Path(config.filename).stem if config.filename else type(bare_model(runner)).__name__
    encoder = config.model["encoder"]
    encoder = encoder.get("encoder", encoder)  # one around another is as pre-trained as that
    notes = {"config": method, "method": method, "base": str(encoder.get("pretrained", "none"))}
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook.before_test_epoch(runner)  # the average takes the weights' place
    if runner.rank == 0:
        save_weights(bare_model(runner), path, only_trainable=True, metadata=notes)
    else:
        bare_model(runner).state_dict()  # gives its shards, if it has any
    for hook in averages:
        hook.after_test_epoch(runner)
    return path


def bare_model(runner: Runner) -> nn.Module:
    """The model without what distributed training wraps around it."""
    return processes.unwrapped(runner.model)


def use_dataset(config: Config, name: str) -> None:
    """Test on another data set.

    Args:
        config: is given the other's `test_dataloader` and `test_evaluator`.
        name: of a file in `configs/_base_/datasets`, of a config, or a path.

    Raises:
        FileNotFoundError: with the data sets there are.
    """
    folder = config_dir() / "_base_" / "datasets"
    known = {path.stem: path for path in (*folder.glob("*.py"), *list_configs().values())}
    path = Path(name) if Path(name).is_file() else known.get(name)
    if path is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        sets = ", ".join(sorted(p.stem for p in folder.glob("*.py")))
        raise FileNotFoundError(
            f"no data set is called {name!r}; {hint}There are {sets}, or name a config "
            f"with `test_dataloader` and `test_evaluator`"
        )
    other = read_config(path)
    config.test_dataloader, config.test_evaluator = other.test_dataloader, other.test_evaluator


def ensure_work_dir(folder: str | Path) -> None:
    """Make a working directory that can be written, so that an hour of training is not lost later.

    Raises:
        OSError: with the folder and the reason.
    """
    try:
        ensure_writable(folder)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write into the working directory ({os.strerror(error.errno or errno.EIO)}); "
            f"choose another with --work-dir",
            str(folder),
        ) from error
