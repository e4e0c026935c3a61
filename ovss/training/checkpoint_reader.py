"""Training checkpoints, found in a working directory and checked before a run resumes from them.

A checkpoint is data. It is read by `ovss.io.plain_pickle`, so no code in it ever runs, neither when
it is checked nor when mmengine loads it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from ovss.io.advice import advised
from ovss.io.excerpts import excerpt, some_of
from ovss.io.finite import not_finite, not_finite_text
from ovss.io.names import natural_key
from ovss.io.plain_pickle import load_plain, refused_name
from ovss.io.torchscript import zip_members
from ovss.io.weight_formats import PICKLE, weight_format
from ovss.models.checkpoint import CheckpointError

__all__ = [
    "POINTER",
    "find_checkpoint",
    "load_training_file",
    "read_training_checkpoint",
    "unusable",
]

POINTER = "last_checkpoint"
"""File in a working directory that names the last checkpoint in it."""
_LONGEST_PATH = 4096
_MAX_LISTED = 3
_DICTS = ("state_dict", "optimizer", "message_hub")
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
    others = _complete_others(folder / POINTER)
    error = CheckpointError(
        f"{pointer} must name a checkpoint file in {folder}, but it names {excerpt(text)}. Name "
        f"the checkpoint to resume from{': ' * bool(others)}{_listed(others)}"
    )
    if others:
        raise advised(error, "earlier_checkpoint", checkpoint=others[0])
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
        problem = "contains more than tensors and plain values, which is not read because it"
        raise unusable(path, f"{problem} could run code ({refused_name(error)})") from error
    except Exception as error:  # torch raises many kinds for a broken file
        problem = f"is truncated or not a checkpoint ({refused_name(error)})"
        raise unusable(path, f"({path.stat().st_size:,} bytes) {problem}") from error


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
        if not isinstance(meta, dict) or not _is_note(meta.get(key), kind)
    ]
    broken_keys = [f"meta.{key}" for key in broken_keys]
    broken_keys += [key for key in _DICTS if not isinstance(content.get(key), dict)]
    if not broken_keys and not _are_tensors(content["state_dict"]):
        broken_keys = ["state_dict"]
    if broken_keys:
        raise unusable(
            path,
            f"is not a checkpoint of `ovss train`, because {', '.join(broken_keys)} is missing or "
            f"invalid",
        )
    kept = ("state_dict", "ema_state_dict", "optimizer")
    tensors = dict(_tensors_in({key: content.get(key) for key in kept}, ""))
    broken = not_finite(tensors)
    if broken:
        raise unusable(
            path,
            f"has {not_finite_text(tensors, broken)}, from which no training can continue",
        )
    return content


def _is_note(value: Any, kind: type) -> bool:
    """True for an entry of ``meta``: text, or an integer that counts something."""
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, kind)


def unusable(path: Path, problem: str) -> CheckpointError:
    """Error of a checkpoint that a training cannot resume from; it names earlier ones.

    Args:
        path: checkpoint.
        problem: rest of the sentence that begins with the checkpoint.
    """
    others = _complete_others(path)
    if not others:
        return CheckpointError(
            f"{path} {problem}. {path.parent} has no other checkpoint. Start the training again"
        )
    error = CheckpointError(
        f"{path} {problem}. Resume from an earlier checkpoint: {_listed(others)}"
    )
    return advised(error, "earlier_checkpoint", checkpoint=others[0])


def _without_state(path: Path) -> CheckpointError:
    error = CheckpointError(
        f"{path} holds weights but no training state, so a training cannot resume from it. To "
        f"start a new training from these weights, set load_from in the config"
    )
    return advised(error, "load_from", path=path)


def _complete_others(path: Path) -> list[Path]:
    """Other checkpoints in the folder of a checkpoint, the last one first, without damaged files.

    Those after the checkpoint come last, because a training would not continue from them.
    """
    files = sorted(path.parent.glob("*.pth"), key=natural_key, reverse=True)
    whole = [file for file in files if file != path and zip_members(file) is not None]
    return sorted(whole, key=lambda file: natural_key(file) > natural_key(path))


def _listed(files: Sequence[Path]) -> str:
    return some_of([file.name for file in files], _MAX_LISTED)


def _are_tensors(state: dict[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _tensors_in(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested dicts and lists, with their dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _tensors_in(inner, f"{name}.{key}" if name else str(key))
