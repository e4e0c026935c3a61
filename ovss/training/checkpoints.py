"""Training checkpoints, written atomically, so the last good one always survives."""

from __future__ import annotations

import errno
import os
import shutil
from collections import deque
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ovss import distributed
from ovss.io.advice import advised
from ovss.io.files import write_atomic
from ovss.io.finite import not_finite

from .checkpoint_reader import POINTER
from .precision import NonFiniteLossError
from .sharding import local


class AtomicBackend(LocalBackend):
    """File backend that writes to a temporary name and renames the complete file into place."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        try:
            write_atomic(path, lambda file: file.write(obj))
        except OSError as error:
            free = shutil.disk_usage(_existing(path.parent)).free
            unwritten = OSError(
                error.errno,
                f"Cannot write {len(obj) / 2**20:.1f} MiB ({os.strerror(error.errno or errno.EIO)}"
                f", {free / 2**20:.1f} MiB free). Earlier checkpoints are intact. Free disk space, "
                f"then resume the training",
                str(path),
            )
            raise advised(unwritten, "resume") from error


register_backend("atomic", AtomicBackend, force=True)

IMAGES = "train_images"
"""Key in a checkpoint's ``meta`` of the number of training images."""


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, changed so that the last good checkpoint always survives.

    Complete files are renamed into place. Old checkpoints are deleted only after the new one exists
    (mmengine deletes them first). Weights and optimiser states that are not finite are not saved.

    Args:
        args: arguments of mmengine's CheckpointHook.
        options: keyword arguments of mmengine's CheckpointHook.

    Raises:
        TypeError: an unknown argument.
    """

    last_ckpt: str | None
    keep_ckpt_ids: deque[int]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"backend_args": {"backend": "atomic"}, **options})
        if self.args:  # mmengine would report them only at the first checkpoint
            raise TypeError(f"CheckpointHook has no argument {', '.join(self.args)}.")

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        names = names_not_finite(runner)
        if names:
            raise NonFiniteLossError(
                f"{len(names)} tensors of the model and the optimiser are not finite after "
                f"iteration {step}, the first is {names[0]}, so nothing was saved. Resume from the "
                f"last checkpoint: {self.last_ckpt or 'none yet'}."
            )
        meta[IMAGES] = len(runner.train_dataloader.dataset)
        old: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [k for k in self.keep_ckpt_ids if k != step] + [step]
            old, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            runner.message_hub.update_info("keep_ckpt_ids", kept)
        path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        runner.message_hub.update_info("last_ckpt", path)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        self.last_ckpt = path
        if is_main_process():
            pointer = Path(runner.work_dir) / POINTER
            write_atomic(pointer, lambda file: file.write(path.encode()))
            for outdated in old:
                Path(self.out_dir, self.filename_tmpl.format(outdated)).unlink(missing_ok=True)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept)


def _existing(folder: Path) -> Path:
    """Nearest existing folder: `folder` itself, or one of its parents."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def names_not_finite(runner: Runner) -> list[str]:
    """Names of parameters, buffers and optimiser states that are not finite on some rank."""
    model = runner.model
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    names = {parameter: name for name, parameter in parameters.items()}
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    states = {
        f"{slot} of {names.get(parameter, 'a parameter')} in the optimiser": value
        for each in wrappers
        for parameter, slots in each.optimizer.state.items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }
    floats = {n: b for n, b in buffers.items() if b.is_floating_point()}
    named = {n: local(x.detach()) for n, x in {**parameters, **floats, **states}.items()}
    if not named:
        return []
    device = next(iter(named.values())).device
    broken_N = torch.stack([(~x.isfinite().all()).to(device) for x in named.values()])
    broken = [name for name, bad in zip(named, distributed.all_any(broken_N).tolist()) if bad]
    # a buffer may be an attention mask, which is infinite on purpose
    return [name for name in broken if name not in floats or not_finite({name: named[name]})]
