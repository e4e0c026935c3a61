"""Training checkpoints: written atomically, so the last good one always survives, and read back."""

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
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ovss import distributed
from ovss.io.advice import advised
from ovss.io.files import write_atomic
from ovss.models.checkpoint import CheckpointError

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


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, changed so that the last good checkpoint always survives.

    Complete files are renamed into place. Old checkpoints are deleted only after the new one exists
    (mmengine deletes them first). Weights that are not finite are not saved.

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
        names = _names_not_finite(runner.model)
        if names:
            raise NonFiniteLossError(
                f"{len(names)} parameters are not finite after iteration {step}, the first is "
                f"{names[0]}, so nothing was saved. Resume from the last checkpoint: "
                f"{self.last_ckpt or 'none yet'}."
            )
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
            pointer = Path(runner.work_dir) / "last_checkpoint"
            write_atomic(pointer, lambda file: file.write(path.encode()))
            for outdated in old:
                Path(self.out_dir, self.filename_tmpl.format(outdated)).unlink(missing_ok=True)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept)


def find_checkpoint(work_dir: str | Path) -> Path | None:
    """Last checkpoint of a working directory, even after the directory was moved, or None."""
    pointer = Path(work_dir) / "last_checkpoint"
    if not pointer.is_file():
        print_log(f"No checkpoint in {work_dir}. Training starts from the beginning.", "current")
        return None
    path = Path(pointer.read_text().strip())
    return path if path.is_file() else Path(work_dir) / path.name


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a training checkpoint. Its ``meta`` holds the seed, the iteration and the config.

    Raises:
        CheckpointError: a file that is missing or truncated, or that holds only weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"Checkpoint {path} does not exist. Check the path.")
    try:
        # Unpickling is needed for optimiser and log, and safe because the user wrote the file.
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    except Exception as error:  # torch raises many kinds for a broken file
        others = sorted(p.name for p in path.parent.glob("*.pth") if p != path)
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a checkpoint ({error}). "
            f"Resume from an earlier one: {', '.join(others) or 'none found'}."
        ) from error
    if not isinstance(content, dict) or not {"meta", "optimizer"} <= content.keys():
        no_state = CheckpointError(
            f"{path} holds weights but no training state, so a training cannot resume from it. To "
            f"start a new training from these weights, set load_from in the config"
        )
        raise advised(no_state, "load_from", path=path)
    return content


def _existing(folder: Path) -> Path:
    """Nearest existing folder: `folder` itself, or one of its parents."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _names_not_finite(model: torch.nn.Module) -> list[str]:
    """Names of parameters that are not finite on some rank."""
    named = dict(model.named_parameters())
    broken_N = torch.stack([~local(p).isfinite().all() for p in named.values()])
    return [name for name, broken in zip(named, distributed.all_any(broken_N).tolist()) if broken]
