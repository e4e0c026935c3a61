"""mmengine's Runner with this package's models, and with options for speed and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from ovss.data.loaders import stop_workers, without_worker_options
from ovss.distributed import unwrap
from ovss.evaluation.named_images import images_named
from ovss.io.advice import advised
from ovss.io.excerpts import excerpt
from ovss.io.locks import FileLock
from ovss.io.plain_pickle import refused_name
from ovss.io.terminal import limit_terminal
from ovss.models.build import build_model
from ovss.models.checkpoint import CheckpointError
from ovss.models.compilation import compile_modules

from .batch import share_of_batch
from .checkpoint_loading import check_same_weights, register_safe_loaders
from .checkpoint_reader import load_training_file, unusable
from .modules import save_memory
from .scalars import with_valid_json, with_valid_log
from .schedule import replay_schedule
from .sharding import gathered, is_sharded, shard
from .tracking.hook import TrackingHook

register_safe_loaders()


class TrainingRunner(Runner):
    """Runner that trains on one or more ranks, on GPUs or CPUs.

    It reads these config keys in addition to those of mmengine:

    - ``train_dataloader.batch_size``: images a step, over all ranks.
    - ``fsdp``: True or ``dict(units=[...])`` shards the model, see `sharding.shard`.
    - ``gradient_checkpointing``: True or patterns, see `modules.save_memory`.
    - ``compile``: True or a dict of options, see `compile_modules`.
    - ``channels_last``: True stores convolution weights in channels-last order.
    """

    _train_dataloader: Any
    new_schedule: bool = False
    """True if a resumed training follows the schedule of its config, not that of the checkpoint."""

    work_dir_lock: FileLock | None = None
    """Lock of the working directory, held until the training ends; None on other ranks."""

    tracking: TrackingHook | None = None
    """Hook with the open trackers of the run; None on other ranks."""

    def train(self) -> nn.Module:
        """Trains; its workers, trackers and the lock of the working directory end with it."""
        is_complete = False
        try:
            model = super().train()
            is_complete = True
            return model
        finally:
            if self.tracking is not None:
                self.tracking.close(is_complete)
            if self.work_dir_lock is not None:
                self.work_dir_lock.release()
            for loop in (self._train_loop, self._val_loop):  # configs, until they are built
                stop_workers(getattr(loop, "dataloader_iterator", None))
                stop_workers(getattr(loop, "dataloader", None))

    def build_logger(self, *args: Any, **options: Any) -> MMLogger:
        """Builds the logger: everything goes to the log file, the terminal gets what matters."""
        logger = super().build_logger(*args, **options)
        limit_terminal(logger)
        return logger

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Builds the visualizer; its files of scalars are valid JSON."""
        return super().build_visualizer(with_valid_json(visualizer))

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        """Registers a hook; the JSON file of mmengine's logger is valid JSON."""
        super().register_hook(with_valid_log(hook), priority)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Builds the model by the same function as every command."""
        return model if isinstance(model, nn.Module) else build_model(model)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Moves the model to the device; for training on several ranks, shards or wraps it."""
        model = model.to(get_device())
        if self.cfg.get("channels_last"):
            model = model.to(memory_format=torch.channels_last)
        options = switch(self.cfg, "fsdp")
        if not self.distributed or self._train_dataloader is None or is_model_wrapper(model):
            if options is not None:
                self.logger.info("fsdp is ignored, because it needs training on several ranks")
            return model
        if options is not None:
            _check_sharding(self.cfg)
            shard(model, **options)
            return model
        if model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        return MMDistributedDataParallel(
            model,
            device_ids=[torch.cuda.current_device()] if torch.cuda.is_available() else None,
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get("find_unused_parameters", False),
        )

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Builds a data loader of training, validation or test; it may have no workers."""
        if isinstance(dataloader, Mapping):
            dataloader = without_worker_options(dataloader)
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the training loop with this rank's share of the batch."""
        if isinstance(loop, dict) and isinstance(self._train_dataloader, dict):
            # only the loader gets the rank's share; the config, which is saved, keeps the total
            share = share_of_batch(self._train_dataloader, loop, self.world_size)
            self._train_dataloader = {**self._train_dataloader, "batch_size": share}
        return super().build_train_loop(loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Builds the validation loop, which gathers sharded weights first."""
        return _on_whole_weights(_with_named_images(super().build_val_loop(loop)))

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "default",
    ) -> None:
        """Resumes from a checkpoint.

        With `new_schedule`, the learning rates become those that the schedule of the config gives
        at this iteration in an uninterrupted training.

        Raises:
            CheckpointError: the checkpoint does not fit the model or the training.
        """
        follows = self.new_schedule
        keep = resume_param_scheduler and not follows
        check_same_weights(unwrap(self.model), Path(filename))
        try:
            super().resume(filename, resume_optimizer, keep, map_location)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            problem = "has a training state that is damaged or does not fit this training"
            raise unusable(Path(filename), f"{problem} ({refused_name(error)})") from error
        if follows:
            self.param_schedulers = replay_schedule(self)

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = "cpu",
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r"^module.", ""),),
    ) -> Any:
        """Loads the weights of a checkpoint and returns its content; no code of the file runs."""
        checkpoint = load_training_file(filename, map_location)
        if isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"].pop("config", None)  # mmengine would run its text as a program
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        with redirect_stdout(StringIO()):  # mmengine prints past its logger
            _load_checkpoint_to_model(
                unwrap(self.model), checkpoint, strict, revise_keys=list(revise_keys)
            )
        self._has_loaded = True
        self.logger.info(f"loaded the checkpoint {filename}")
        return checkpoint

    def save_checkpoint(self, *args: Any, **options: Any) -> None:
        """Saves a checkpoint on rank 0; the other ranks take part if the model is sharded."""
        if is_sharded(self.model) and self.rank > 0:
            self.model.state_dict()  # collective call: rank 0 writes, the others send their shards
            if options.get("save_optimizer", True):
                self.optim_wrapper.state_dict()
            return
        super().save_checkpoint(*args, **options)

    def _init_model_weights(self) -> None:
        if not is_sharded(self.model):
            super()._init_model_weights()

    def _maybe_compile(self, target: str) -> None:
        """Wraps modules; mmengine calls it after weights are loaded, before the first step."""
        if target != "train_step":
            return
        bare = unwrap(self.model)
        save_memory(bare, self.cfg.get("gradient_checkpointing") or False)
        compiled = compile_modules(bare, switch(self.cfg, "compile"))
        if compiled:
            text = f"{len(compiled)} modules are compiled, so the first steps are slow."
            self.logger.info(text)


def switch(cfg: Config, key: str) -> dict[str, Any] | None:
    """Reads a config key that turns a feature on or off.

    Returns:
        Options of the feature; None if it is off.

    Raises:
        TypeError: the value is neither a boolean nor a dict of options.
    """
    value = cfg.get(key)
    if isinstance(value, dict):
        return dict(value)
    if value is None or isinstance(value, bool):
        return {} if value else None
    raise TypeError(
        f"{key} must be True, False or dict(...) of its options, got {excerpt(value)}. Correct it"
    )


def _check_sharding(cfg: Config) -> None:
    """Rejects config keys that cannot be combined with fsdp.

    Raises:
        ValueError: such a key is set; the message names the reason.
    """
    is_float16 = cfg.get("optim_wrapper", {}).get("amp") == "float16"
    conflicts = {
        "ema": (cfg.get("ema"), "the average needs whole weights"),
        "channels_last": (cfg.get("channels_last"), "shards are cut from rows"),
        "float16": (is_float16, "float16 needs one loss scale for all shards"),
    }
    for key, (is_set, reason) in conflicts.items():
        if is_set:
            error = ValueError(
                f"fsdp cannot be combined with {key}, because {reason}. Leave one of them out"
            )
            raise advised(error, "bfloat16") if key == "float16" else error


def _on_whole_weights(loop: BaseLoop) -> BaseLoop:
    """Gathers sharded weights for a whole loop.

    Ranks see different numbers of images, so gathering image by image would block forever.
    """
    run, model = loop.run, loop.runner.model

    def gathered_run() -> Any:
        with gathered(model):
            return run()

    if is_sharded(model):
        loop.run = gathered_run  # type: ignore[method-assign]
    return loop


def _with_named_images(loop: BaseLoop) -> BaseLoop:
    """Names the image in errors about scores that are not finite."""
    run_iter, runner = loop.run_iter, loop.runner  # type: ignore[attr-defined]

    def named_run_iter(index: int, batch: dict) -> None:
        last = runner.message_hub.runtime_info.get("last_ckpt") or "none yet"
        where = f"the validation after iteration {runner.iter:,}; the last checkpoint is {last}"
        with images_named(unwrap(runner.model), batch, where):
            run_iter(index, batch)

    loop.run_iter = named_run_iter  # type: ignore[attr-defined]
    return loop
