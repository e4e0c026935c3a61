"""mmengine's Runner on any number of processes, on GPUs or without, with less memory if asked."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from ovss import distributed
from ovss.io.advice import advised
from ovss.models.build import build_model

from .modules import compile_modules, save_memory
from .sharding import gathered, is_sharded, shard


class TrainingRunner(Runner):
    """Reads, beside mmengine's, these keys of a config:

    ``train_dataloader.batch_size`` pictures a step, of all processes together;
    ``fsdp`` True or ``dict(units=[...])``: shard instead of copying, see `sharding.shard`;
    ``gradient_checkpointing`` True or patterns, see `modules.save_memory`;
    ``compile`` True or a dict, see `modules.compile_modules`;
    ``channels_last`` True: kernels of convolutions in channels-last order.
    """

    _train_dataloader: Any

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        return model if isinstance(model, nn.Module) else build_model(model)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        model = model.to(get_device())
        if self.cfg.get("channels_last"):
            model = model.to(memory_format=torch.channels_last)
        options = switch(self.cfg, "fsdp")
        if not self.distributed or self._train_dataloader is None or is_model_wrapper(model):
            if options is not None:
                self.logger.info("one process, or a test: fsdp has nothing to shard")
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

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        if isinstance(loop, dict) and isinstance(self._train_dataloader, dict):
            # the config itself keeps the whole batch: it is dumped, and kept with checkpoints
            share = share_of_batch(self._train_dataloader, loop, self.world_size)
            self._train_dataloader = {**self._train_dataloader, "batch_size": share}
        return super().build_train_loop(loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        return _on_whole_weights(super().build_val_loop(loop))

    def save_checkpoint(self, *args: Any, **options: Any) -> None:
        if is_sharded(self.model) and self.rank > 0:
            self.model.state_dict()  # the first process writes; the others give it their shards
            if options.get("save_optimizer", True):
                self.optim_wrapper.state_dict()
            return
        super().save_checkpoint(*args, **options)

    def _init_model_weights(self) -> None:
        if not is_sharded(self.model):
            super()._init_model_weights()

    def _maybe_compile(self, target: str) -> None:
        """mmengine asks once weights are in place, just before the first step."""
        if target != "train_step":
            return
        bare = distributed.unwrap(self.model)
        save_memory(bare, self.cfg.get("gradient_checkpointing") or False)
        compile_modules(bare, switch(self.cfg, "compile"))


def switch(cfg: Config, key: str) -> dict[str, Any] | None:
    """What a key that turns something on says: None where it is off, its options where it is on.

    Raises:
        TypeError: neither True or False nor a dict of options.
    """
    value = cfg.get(key)
    if isinstance(value, dict):
        return dict(value)
    if value is None or isinstance(value, bool):
        return {} if value else None
    raise TypeError(f"{key} is True, False or dict(...) of its options, got {value!r}")


def _check_sharding(cfg: Config) -> None:
    """
    Raises:
        ValueError: a key that does not go together with fsdp, with what to do.
    """
    clashes = {
        "ema: the average needs whole weights": cfg.get("ema"),
        "channels_last: shards are cut from rows": cfg.get("channels_last"),
        "float16: it needs one loss scale for all shards, unlike bfloat16": (
            cfg.get("optim_wrapper", {}).get("amp") == "float16"
        ),
    }
    for what, wanted in clashes.items():
        if wanted:
            error = ValueError(f"fsdp does not go together with {what}. Leave one of them out")
            raise advised(error, "bfloat16") if what.startswith("float16") else error


def _on_whole_weights(loop: BaseLoop) -> BaseLoop:
    """Processes see different numbers of pictures: none may wait for another in between."""
    run, model = loop.run, loop.runner.model

    def gathered_run() -> Any:
        with gathered(model):
            return run()

    if is_sharded(model):
        loop.run = gathered_run  # type: ignore[method-assign]
    return loop


def share_of_batch(dataloader: dict, train_cfg: dict, world_size: int) -> int:
    """How many pictures of a step are each process's.

    Args:
        dataloader: its ``batch_size`` is of all processes together.
        train_cfg: with ``micro_batch``, if any.
        world_size: processes.

    Raises:
        ValueError: that cannot be divided evenly, with the numbers that can.
    """
    total, micro = dataloader.get("batch_size"), train_cfg.get("micro_batch")
    if not isinstance(total, int) or total < 1:
        raise ValueError(f"train_dataloader.batch_size is 1 or more pictures a step, got {total!r}")
    if total < world_size or total % world_size:
        fits = [n for n in range(1, total + 1) if total % n == 0]
        size = -(-total // world_size) * world_size
        error = ValueError(
            f"train_dataloader.batch_size is {total} images a step of all processes together, "
            f"which {world_size} processes cannot share evenly. Start {_or(fits)} processes, or "
            f"change the batch size to {size} and the learning rate with it"
        )
        raise advised(error, "batch_size", size=size)
    share = total // world_size
    if micro is not None and (micro < 1 or share % micro):
        fits = [n for n in range(1, share + 1) if share % n == 0]
        raise ValueError(
            f"train_cfg.micro_batch is {micro}, which does not divide the {share} pictures of each "
            f"process: {_or(fits)} do"
        )
    return share


def _or(numbers: list[int]) -> str:
    return " or ".join(map(str, numbers))
