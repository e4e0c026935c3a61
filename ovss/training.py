"""What training needs beyond mmengine: losses that must be finite, checkpoints that survive."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, LOOPS, OPTIM_WRAPPERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from .files import write_atomic


class NonFiniteLossError(FloatingPointError):
    """A loss was NaN or infinite; the weights are as they were before that step."""


@OPTIM_WRAPPERS.register_module()
class GuardedOptimWrapper(OptimWrapper):
    """Refuses a step whose loss is not finite; optionally computes in mixed precision.

    Args:
        amp: ``"bfloat16"`` runs forward passes under autocast, on the CPU too; no loss scaling is
            needed, since bfloat16 has float32's range. None: full precision.
        options: mmengine's OptimWrapper's: optimizer, clip_grad, accumulative_counts.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, amp: str | None = None, **options: Any):
        super().__init__(optimizer, **options)
        if amp not in (None, "bfloat16"):
            raise ValueError(f"amp is 'bfloat16' or None, got {amp!r}")
        self.amp = amp

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not bool(torch.isfinite(loss.detach()).all()):
            raise NonFiniteLossError(f"the loss is {float(loss.detach()):g}")
        super().update_params(loss, *args, **kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), _precision(self.amp):
            yield


def _precision(amp: str | None) -> AbstractContextManager:
    return nullcontext() if amp is None else torch.autocast(get_device(), dtype=torch.bfloat16)


@LOOPS.register_module()
class GuardedTrainLoop(IterBasedTrainLoop):
    """mmengine's loop by iterations; a loss that is not finite stops it and names the pictures."""

    def run_iter(self, data_batch: dict) -> None:
        try:
            super().run_iter(data_batch)
        except NonFiniteLossError as error:
            last = self.runner.message_hub.runtime_info.get("last_ckpt")
            raise NonFiniteLossError(
                f"{error} at iteration {self._iter + 1}, {_blame(self.runner, data_batch)}. The "
                f"step was not taken; last checkpoint: {last or 'none yet'}. Look at these "
                f"pictures and labels, lower the learning rate, or leave --amp out"
            ) from None


def _blame(runner: Runner, data_batch: dict) -> str:
    """Which pictures of a batch have a loss that is not finite, each taken alone."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    guilty, paths = [], [sample.img_path for sample in data_batch["data_samples"]]
    amp = getattr(runner.optim_wrapper, "amp", None)
    for i, path in enumerate(paths):
        one = {key: value[i : i + 1] for key, value in data_batch.items()}
        with torch.no_grad(), _precision(amp):
            prepared = model.data_preprocessor(one, True)
            losses = model(**prepared, mode="loss")
        if not all(torch.isfinite(value).all() for value in losses.values()):
            guilty.append(path)
    if guilty:
        return f"at {', '.join(guilty)}"
    return f"in the batch of {', '.join(paths)} (none of them alone)"


class AtomicBackend(LocalBackend):
    """Local files, written beside their place and renamed into it: never half a file."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        try:
            write_atomic(path, lambda file: file.write(obj))
        except OSError as error:
            free = shutil.disk_usage(_existing(path.parent)).free
            raise OSError(
                error.errno,
                f"cannot write {len(obj) / 2**20:.1f} MiB ({os.strerror(error.errno or errno.EIO)}"
                f"; {free / 2**20:.1f} MiB free). Earlier checkpoints are untouched: make room, "
                f"then go on with --resume",
                str(path),
            ) from error


register_backend("atomic", AtomicBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's, except that the last good checkpoint is never at risk.

    Files are renamed into place when complete; an old one is deleted after the new one is there
    (mmengine deletes first); weights that are not finite are not saved.

    Args: as mmengine's CheckpointHook.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"backend_args": {"backend": "atomic"}, **options})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        bad = [name for name, p in runner.model.named_parameters() if not p.isfinite().all()]
        if bad:
            raise NonFiniteLossError(
                f"after iteration {step} {len(bad)} parameters are not finite, {bad[0]} first; "
                f"nothing was saved. Last checkpoint: {self.last_ckpt or 'none yet'}"
            )
        kept, limit = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else [], None
        if self.max_keep_ckpts > 0:
            kept = [k for k in kept if k != step] + [step]
            limit = self.max_keep_ckpts
            runner.message_hub.update_info("keep_ckpt_ids", kept[-limit:])
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
            **self.args,
        )
        self.last_ckpt = path
        if is_main_process():
            pointer = Path(runner.work_dir) / "last_checkpoint"
            write_atomic(pointer, lambda file: file.write(path.encode()))
            for old in kept[:-limit] if limit else ():
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)
        if limit:
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept[-limit:])


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
