"""Checkpoints that survive: never half a file, never the last good one at risk; found and read."""

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
    """Local files, written beside their place and renamed into it: never half a file."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        try:
            write_atomic(path, lambda file: file.write(obj))
        except OSError as error:
            free = shutil.disk_usage(_existing(path.parent)).free
            unwritten = OSError(
                error.errno,
                f"cannot write {len(obj) / 2**20:.1f} MiB ({os.strerror(error.errno or errno.EIO)}"
                f"; {free / 2**20:.1f} MiB free). Earlier checkpoints are untouched. Make "
                f"room, then resume",
                str(path),
            )
            raise advised(unwritten, "resume") from error


register_backend("atomic", AtomicBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's, except that the last good checkpoint is never at risk.

    Files are renamed into place when complete; an old one is deleted after the new one is there
    (mmengine deletes first); weights that are not finite are not saved.

    Args: as mmengine's CheckpointHook.
    """

    last_ckpt: str | None
    keep_ckpt_ids: deque[int]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"backend_args": {"backend": "atomic"}, **options})
        if self.args:  # mmengine's keeps them until the first checkpoint is due
            raise TypeError(f"CheckpointHook does not know {', '.join(self.args)}")

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        bad = _not_finite(runner.model)
        if bad:
            raise NonFiniteLossError(
                f"after iteration {step} {len(bad)} parameters are not finite, {bad[0]} first; "
                f"nothing was saved. Last checkpoint: {self.last_ckpt or 'none yet'}"
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
    """The last checkpoint of a working directory, wherever that was moved; None if it has none."""
    pointer = Path(work_dir) / "last_checkpoint"
    if not pointer.is_file():
        print_log(f"no checkpoint in {work_dir}: training starts from the beginning", "current")
        return None
    path = Path(pointer.read_text().strip())
    return path if path.is_file() else Path(work_dir) / path.name


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint that a training left; its `meta` has the seed, the iteration and the config.

    Raises:
        CheckpointError: missing, truncated, or weights alone.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint to resume from")
    try:
        # optimiser and log are Python objects; a checkpoint to resume is the user's own
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    except Exception as error:  # torch raises many kinds for a broken file
        others = sorted(p.name for p in path.parent.glob("*.pth") if p != path)
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or no checkpoint ({error}); "
            f"resume from an earlier one: {', '.join(others) or 'there is none'}"
        ) from error
    if not isinstance(content, dict) or not {"meta", "optimizer"} <= content.keys():
        no_state = CheckpointError(
            f"{path} holds weights but no state of a training, so it cannot be resumed. Start "
            f"from it with load_from in the config"
        )
        raise advised(no_state, "load_from", path=path)
    return content


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _not_finite(model: torch.nn.Module) -> list[str]:
    """Names of parameters that are not finite in any process."""
    named = dict(model.named_parameters())
    bad_N = torch.stack([~local(p).isfinite().all() for p in named.values()])
    return [name for name, bad in zip(named, distributed.all_any(bad_N).tolist()) if bad]
