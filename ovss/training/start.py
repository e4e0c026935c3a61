"""Start of a training: from a checkpoint, from weights, or from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from ovss.io.advice import advised
from ovss.models.checkpoint import CheckpointError

from .checkpoint_reader import find_checkpoint, read_training_checkpoint
from .ready import find_readable_weights
from .resume import changed_schedule, check_resumable
from .runner import switch

__all__ = ["Start", "find_start"]


@dataclass(frozen=True)
class Start:
    """Origin of the weights of a training.

    Args:
        weights: file to load into the new model; None: a checkpoint is resumed, or all is new.
        followed: changes that a resumed run follows, see `check_resumable`.
        missing: True if a checkpoint was to be resumed but there is none.
        origin: sentence for the terminal; empty for a training from scratch.
    """

    weights: str | None = None
    followed: dict[str, str] = field(default_factory=dict)
    missing: bool = False
    origin: str = ""


def find_start(
    config: Config, work_dir: str | Path, resume: str | None, seed: int | None, images: int
) -> Start:
    """Finds the start of a training and checks that it can be used.

    Args:
        config: config of the run, with all options. Its keys for mmengine's Runner are set in
            place; a checkpoint sets the seed.
        work_dir: working directory.
        resume: argument of `build_runner`.
        seed: seed that the user asks for; None: that of the checkpoint or the config.
        images: number of training images.

    Raises:
        CheckpointError: a damaged checkpoint or weights file, or an average of weights although
            the config keeps none.
        FileNotFoundError: ``load_from`` does not exist.
        ResumeMismatchError: settings that decide the curve are not those of the checkpoint.
    """
    weights = config.get("load_from")
    config.load_from = config.resume = None
    path = find_checkpoint(work_dir) if resume == "auto" else resume and Path(resume)
    if path:
        return _resumed(config, Path(path), seed, images)
    file = find_readable_weights(weights) if weights else None
    origin = f"starts from the weights {file}" if file else ""
    return Start(file, missing=resume is not None, origin=origin)


def _resumed(config: Config, path: Path, seed: int | None, images: int) -> Start:
    """Makes a config continue from a checkpoint, in place."""
    saved = read_training_checkpoint(path)
    if "ema_state_dict" in saved and switch(config, "ema") is None:
        error = CheckpointError(
            f"{path} holds an average of weights, which this config does not keep. Set "
            f"ema in the config, or start from the average with load_from={path}"
        )
        raise advised(error, "average")
    followed = check_resumable(saved["meta"], config, path, images, seed)
    config.load_from, config.resume = str(path), True
    config.randomness = {**config.get("randomness", {}), "seed": saved["meta"]["seed"]}
    changes = ", ".join(f"{key} {change}" for key, change in followed.items())
    origin = f"resumed from {path} after iteration {saved['meta']['iter']:,}"
    if changed_schedule(followed):
        origin += f"; the learning rate follows the new schedule: {changes}"
    elif changes:
        origin += f"; changed: {changes}"
    return Start(followed=followed, origin=origin)
