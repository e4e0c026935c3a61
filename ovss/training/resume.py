"""Comparison of a resumed training with the training that wrote its checkpoint.

A resumed run continues one loss curve. Settings that decide the curve must therefore be those of
the checkpoint. A longer or another schedule is the exception: the learning rate then follows the
new schedule, see `TrainingRunner.resume`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.advice import advised
from ovss.models.config_text import read_config_text

from .checkpoints import IMAGES
from .settings import flat_settings

__all__ = ["ResumeMismatchError", "changed_schedule", "check_resumable", "curve_settings"]

_COMPARED = (
    "model",
    "data_preprocessor",
    "train_dataloader",
    "optim_wrapper",
    "param_scheduler",
    "train_cfg",
    "randomness",
    "ema",
    "auto_scale_lr",
    "matmul_precision",
)
_FREE = (
    "model.inference",
    "model.post_processor",
    "model.data_preprocessor",
    "train_cfg.type",
    "train_cfg.val_",
    "train_cfg.dynamic_intervals",
    "train_dataloader.num_workers",
    "train_dataloader.persistent_workers",
    "train_dataloader.pin_memory",
    "train_dataloader.prefetch_factor",
    "train_dataloader.timeout",
    "train_dataloader.multiprocessing_context",
    "randomness.seed",
)
"""Beginnings of keys that do not change the curve. The seed is that of the checkpoint."""
_FREE_ENDS = (".text_cache",)
_SCHEDULE = ("train_cfg.max_iters", "param_scheduler")
_FOLLOWED = (*_SCHEDULE, "train_cfg.micro_batch")
"""Beginnings of keys that may change. Another micro-batch changes a step by rounding only."""
_PLATEAU = "ReduceOnPlateau"
_MAX_LISTED = 6
_UNSET = object()

Changes = Mapping[str, tuple[Any, Any]]
"""Dotted key -> value in the checkpoint and value now; `_UNSET` for a missing one."""


class ResumeMismatchError(ValueError):
    """The settings of a resumed training differ from those of its checkpoint."""


def curve_settings(config: Config) -> dict[str, Any]:
    """Dotted key -> value of everything in a config that decides the loss curve."""
    values = config.to_dict()
    chosen = {key: values[key] for key in _COMPARED if values.get(key) is not None}
    return {
        key: value
        for key, value in flat_settings(chosen)
        if not key.startswith(_FREE) and not key.endswith(_FREE_ENDS)
    }


def check_resumable(
    saved: Mapping[str, Any], config: Config, path: Path, images: int, seed: int | None
) -> dict[str, str]:
    """Compares the config of a checkpoint with the config of the run that resumes from it.

    Args:
        saved: ``meta`` of the checkpoint.
        config: config of the run, after all flags are applied.
        path: checkpoint, for messages.
        images: number of training images of the run; 0 if unknown.
        seed: seed that the user asks for; None: that of the checkpoint.

    Returns:
        Changes that the run follows: dotted key -> ``"4 -> 6"``.

    Raises:
        ResumeMismatchError: other settings differ, or the new schedule ends before the checkpoint.
        ValueError: the config in the checkpoint cannot be read.
    """
    before = curve_settings(read_config_text(saved["cfg"], str(path)))
    # through the same text, because formatting does not preserve every value
    after = curve_settings(read_config_text(_text_of(config), "the config"))
    changes = _changes(before, after)
    if seed is not None and seed != saved["seed"]:
        changes["randomness.seed"] = (saved["seed"], seed)
    if images and saved.get(IMAGES, images) != images:
        changes["number of training images"] = (saved[IMAGES], images)
    refused = {key: pair for key, pair in changes.items() if not key.startswith(_FOLLOWED)}
    followed = {key: pair for key, pair in changes.items() if key not in refused}
    plateau = any(_PLATEAU in str(v) for k, v in after.items() if k.startswith(_SCHEDULE[1]))
    if plateau and changed_schedule(followed):
        refused, followed = changes, {}  # the rate depends on metrics of earlier validations
    if refused:
        raise _mismatch(path, refused)
    if saved["iter"] > config.train_cfg.max_iters:
        raise ResumeMismatchError(
            f"{path} is at iteration {saved['iter']:,}, after the end of the schedule at "
            f"train_cfg.max_iters={config.train_cfg.max_iters:,}. Set max_iters to "
            f"{saved['iter']:,} or more"
        )
    return {key: f"{_shown(old)} -> {_shown(new)}" for key, (old, new) in followed.items()}


def changed_schedule(followed: Mapping[str, Any]) -> bool:
    """True if the changes that a run follows concern its learning rates."""
    return any(key.startswith(_SCHEDULE) for key in followed)


def _mismatch(path: Path, refused: Changes) -> ResumeMismatchError:
    listed = [
        f"{key} is {_shown(old)} in the checkpoint and {_shown(new)} here"
        for key, (old, new) in list(refused.items())[:_MAX_LISTED]
    ]
    more = len(refused) - len(listed)
    error = ResumeMismatchError(
        f"{path} cannot be resumed with other settings, because the curve would not be that of one "
        f"training: {'; '.join(listed)}{f'; and {more} more keys' if more else ''}. Set these keys "
        f"back, or start a new training from these weights by setting load_from"
    )
    amp = refused.get("optim_wrapper.amp", (_UNSET, _UNSET))[0]
    if isinstance(amp, str):
        return advised(error, "load_from", "same_amp", path=path, amp=amp)
    return advised(error, "load_from", path=path)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {key: (before.get(key, _UNSET), after.get(key, _UNSET)) for key in {**before, **after}}
    return {key: (old, new) for key, (old, new) in pairs.items() if not _same(old, new)}


def _same(old: Any, new: Any) -> bool:
    """True for equal values, and for paths of one file or folder that was moved."""
    if isinstance(old, str) and isinstance(new, str) and old != new:
        ends = [tuple(text.replace("\\", "/").rstrip("/").split("/")[-2:]) for text in (old, new)]
        return len(ends[0]) == 2 and ends[0] == ends[1]
    return bool(old == new)


def _text_of(config: Config) -> str:
    """Text of a config as a checkpoint holds it, but not formatted, because it is only read."""
    text: str = Config(config.to_dict(), format_python_code=False).pretty_text
    return text


def _shown(value: Any) -> str:
    if value is _UNSET:
        return "not set"
    text = repr(value)
    if isinstance(value, Sequence) and len(text) > 60:
        return f"{text[:50]}... ({len(value)} values)"
    return text
