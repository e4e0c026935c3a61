"""Training checkpoints, found in a working directory and checked before a run resumes from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.io.advice import advised
from ovss.io.finite import not_finite, not_finite_text
from ovss.io.weight_formats import weight_format
from ovss.models.checkpoint import CheckpointError


def find_checkpoint(work_dir: str | Path) -> Path | None:
    """Last checkpoint of a working directory, even after the directory was moved, or None."""
    pointer = Path(work_dir) / "last_checkpoint"
    if not pointer.is_file():
        return None
    path = Path(pointer.read_text(encoding="utf-8").strip())
    return path if path.is_file() else Path(work_dir) / path.name


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a training checkpoint. Its ``meta`` holds the seed, the iteration and the config.

    Raises:
        CheckpointError: a file that is missing, truncated or something else, that holds only
            weights, or whose weights or optimiser state are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"Checkpoint {path} does not exist. Check the path.")
    weight_format(path)
    try:
        # Unpickling is needed for optimiser and log, and safe because the user wrote the file.
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    except Exception as error:  # torch raises many kinds for a broken file
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a checkpoint ({error}). "
            f"Resume from an earlier one: {_others(path)}."
        ) from error
    if not isinstance(content, dict) or not {"meta", "optimizer"} <= content.keys():
        no_state = CheckpointError(
            f"{path} holds weights but no training state, so a training cannot resume from it. To "
            f"start a new training from these weights, set load_from in the config"
        )
        raise advised(no_state, "load_from", path=path)
    kept = ("state_dict", "ema_state_dict", "optimizer")
    tensors = dict(_tensors_in({key: content.get(key) for key in kept}, ""))
    broken = not_finite(tensors)
    if broken:
        raise CheckpointError(
            f"{path} has {not_finite_text(tensors, broken)}. No training can continue from them. "
            f"Resume from an earlier checkpoint: {_others(path)}."
        )
    return content


def _others(path: Path) -> str:
    """Names of the other checkpoints in the folder of a checkpoint."""
    return ", ".join(sorted(p.name for p in path.parent.glob("*.pth") if p != path)) or "none found"


def _tensors_in(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested dicts and lists, with their dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _tensors_in(inner, f"{name}.{key}" if name else str(key))
