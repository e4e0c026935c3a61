"""Training checkpoints, found in a working directory and checked before a run resumes from them.

A checkpoint is data. It is read by `ovss.io.plain_pickle`, so no code in it ever runs, neither when
it is checked nor when mmengine loads it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from ovss.io.advice import advised
from ovss.io.finite import not_finite, not_finite_text
from ovss.io.plain_pickle import load_plain, refused_name
from ovss.io.weight_formats import PICKLE, weight_format
from ovss.models.checkpoint import CheckpointError

__all__ = ["POINTER", "find_checkpoint", "load_training_file", "read_training_checkpoint"]

POINTER = "last_checkpoint"
"""File in a working directory that names the last checkpoint in it."""
_LONGEST_PATH = 4096
_META = {"cfg": str, "iter": int, "epoch": int, "seed": int}
"""Entries of ``meta`` that a resumed run needs, and their types."""


def find_checkpoint(work_dir: str | Path) -> Path | None:
    """Last checkpoint of a working directory, even after the directory was moved, or None.

    Raises:
        CheckpointError: the file `POINTER` names something other than a file in the directory.
    """
    folder = Path(work_dir)
    pointer = folder / POINTER
    if not pointer.is_file():
        return None
    with open(pointer, "rb") as file:
        text = file.read(_LONGEST_PATH).decode("utf-8", "replace").strip()
    name = PurePosixPath(text.replace("\\", "/")).name
    for candidate in (Path(text), folder / name):
        if name and "\0" not in text and _is_inside(candidate, folder):
            return candidate
    error = CheckpointError(
        f"{pointer} must name a checkpoint file in {folder}, but it names {text[:200]!r}. Name the "
        f"checkpoint to resume from"
    )
    raise advised(error, "checkpoint")


def _is_inside(path: Path, folder: Path) -> bool:
    """True for a regular file inside a folder, with links followed."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # such as a name that is too long
        return False


def load_training_file(path: str | Path, map_location: Any = "cpu", mmap: bool = False) -> Any:
    """Content of a file of a training, without running code from it.

    Raises:
        CheckpointError: the file is missing, truncated, something else, or contains more than
            tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"Checkpoint {path} does not exist. Check the path.")
    if weight_format(path) != PICKLE:
        raise _without_state(path)
    try:
        return load_plain(path, map_location, mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} contains more than tensors and plain values, which is not read because it "
            f"could run code ({refused_name(error)}). Resume from another one: {_others(path)}."
        ) from error
    except Exception as error:  # torch raises many kinds for a broken file
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a checkpoint ({error}). "
            f"Resume from an earlier one: {_others(path)}."
        ) from error


def read_training_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a training checkpoint. Its ``meta`` holds the seed, the iteration and the config.

    Raises:
        CheckpointError: a file that is missing, truncated or something else, that contains more
            than tensors and plain values, that holds only weights, or whose weights or optimiser
            state are not finite.
    """
    path = Path(path)
    content = load_training_file(path, mmap=True)
    if not isinstance(content, dict) or not {"meta", "optimizer"} <= content.keys():
        raise _without_state(path)
    meta = content["meta"]
    broken_keys = [
        key
        for key, kind in _META.items()
        if not isinstance(meta, dict) or not isinstance(meta.get(key), kind)
    ]
    if broken_keys or not isinstance(content.get("message_hub"), dict):
        raise CheckpointError(
            f"{path} is not a checkpoint of `ovss train`, because "
            f"{', '.join(f'meta.{key}' for key in broken_keys) or 'message_hub'} is missing or of "
            f"another type. Resume from another one: {_others(path)}."
        )
    kept = ("state_dict", "ema_state_dict", "optimizer")
    tensors = dict(_tensors_in({key: content.get(key) for key in kept}, ""))
    broken = not_finite(tensors)
    if broken:
        raise CheckpointError(
            f"{path} has {not_finite_text(tensors, broken)}. No training can continue from them. "
            f"Resume from an earlier checkpoint: {_others(path)}."
        )
    return content


def _without_state(path: Path) -> CheckpointError:
    error = CheckpointError(
        f"{path} holds weights but no training state, so a training cannot resume from it. To "
        f"start a new training from these weights, set load_from in the config"
    )
    return advised(error, "load_from", path=path)


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
